// One conversation on this device: its log, what is known of it, and what is still on its way to it.

import { foldInfo, newer, unread } from './info';
import { ConversationLog } from './log';
import type { Event, Info, Marker, Member, Message, Page } from './model';
import { overlay } from './overlay';
import type { Shown } from './overlay';
import type { Entry, Saved } from './storage';

/** How many messages of a conversation are kept across reloads. */
export const KEPT_MESSAGES = 100;

/** What a page shows of an open conversation. */
export interface View {
  readonly id: string;
  readonly info: Info | null;
  readonly messages: readonly Shown[];
  readonly atStart: boolean;
  /** The newest messages are not here yet. */
  readonly loading: boolean;
  readonly loadingOlder: boolean;
  readonly typing: readonly string[];
  readonly members: readonly Member[] | null;
  readonly markers: readonly Marker[];
}

/** A line of the conversation list. */
export interface Summary {
  readonly id: string;
  readonly info: Info;
  readonly unread: number;
  readonly last: Shown | null;
  readonly typing: readonly string[];
}

export class Conversation {
  readonly id: string;
  readonly log: ConversationLog;
  info: Info | null;
  /** Null until they were asked for. */
  members: readonly Member[] | null = null;
  membersReflect = 0;
  loadingOlder = false;
  /** Fetching the newest page is under way. */
  syncing = false;
  /** A read marker that the server doesn't know yet. */
  unsaidReadSeq = 0;
  readonly #me: string;
  readonly #markers = new Map<string, number>();
  /** Acknowledged, but not yet seen on the stream. */
  #done: { entry: Entry; seq: number }[] = [];

  constructor(id: string, me: string, saved?: Saved) {
    this.id = id;
    this.#me = me;
    this.log = new ConversationLog(saved?.window);
    this.info = saved?.info ?? null;
  }

  /** Takes events of the stream. Answers with those that were new. */
  receive(events: readonly Event[]): readonly Event[] {
    const fresh = this.log.receive(events);
    this.#follow(fresh);
    return fresh;
  }

  newest(page: Page): readonly Event[] {
    const fresh = this.log.newest(page);
    this.#follow(fresh);
    return fresh;
  }

  /** Takes what the server says of the conversation as a whole. */
  describe(info: Info): void {
    this.info = newer(this.info, info);
  }

  done(entry: Entry, seq: number): void {
    if (seq > this.log.cursor) this.#done.push({ entry, seq });
  }

  mark({ user, readSeq }: Marker): void {
    this.#markers.set(user, Math.max(readSeq, this.#markers.get(user) ?? 0));
    if (user === this.#me) this.readUpTo(readSeq);
  }

  /** Moves one's own marker up. Answers whether it moved. */
  readUpTo(seq: number): boolean {
    const { info } = this;
    if (!info || seq <= info.readSeq) return false;
    const readMessages = seq >= info.lastSeq ? info.messages : this.#countUpTo(seq, info.readMessages);
    this.info = { ...info, readSeq: seq, readMessages: Math.max(info.readMessages, readMessages) };
    return true;
  }

  summary(entries: readonly Entry[], typing: readonly string[]): Summary | null {
    const { info } = this;
    if (!info) return null;
    const last = this.#shown(entries, this.log.messages.slice(-1)).at(-1) ?? null;
    return { id: this.id, info, unread: unread(info), last, typing };
  }

  view(entries: readonly Entry[], typing: readonly string[]): View {
    const { id, info, log, members, loadingOlder } = this;
    return {
      id,
      info,
      messages: this.#shown(entries, log.messages),
      atStart: log.atStart,
      loading: log.cursor === 0,
      loadingOlder,
      typing,
      members,
      markers: [...this.#markers].map(([user, readSeq]) => ({ user, readSeq })),
    };
  }

  saved(): Saved | null {
    const { id, info, log } = this;
    if (!info || log.cursor === 0) return null;
    return { id, info, window: log.window(KEPT_MESSAGES) };
  }

  #shown(entries: readonly Entry[], messages: readonly Message[]): readonly Shown[] {
    return overlay(messages, [...this.#done.map(({ entry }) => entry), ...entries], this.#me);
  }

  #countUpTo(seq: number, otherwise: number): number {
    return this.log.messages.findLast((message) => message.seq <= seq)?.messages ?? otherwise;
  }

  /** What the events say of the conversation and its members, besides its messages. */
  #follow(events: readonly Event[]): void {
    if (this.info) this.info = foldInfo(this.info, events, this.#me);
    for (const event of events) {
      if (event.body.type === 'sent') {
        this.#markers.set(event.sender, Math.max(event.seq, this.#markers.get(event.sender) ?? 0));
      }
      if (event.seq > this.membersReflect) this.#followMembers(event);
    }
    this.#settle();
  }

  #followMembers({ seq, body }: Event): void {
    if (!this.members) return;
    this.membersReflect = seq;
    if (body.type === 'added') {
      const names = new Set(body.members.map(({ user }) => user));
      this.members = [...this.members.filter(({ user }) => !names.has(user)), ...body.members];
    } else if (body.type === 'removed') {
      this.members = this.members.filter(({ user }) => user !== body.user);
    } else if (body.type === 'role') {
      this.members = this.members.map((it) => (it.user === body.user ? { ...it, role: body.role } : it));
    }
  }

  #settle(): void {
    this.#done = this.#done.filter(({ seq }) => seq > this.log.cursor);
  }
}
