// What a page needs of Nexus, behind one object: immutable snapshots to show, and things to do.
//
//   transport   the calls, typed            attach    the stream, kept open
//   wire        wire -> model               sync      frames and history -> conversations
//   model       the words                   log       one conversation's newest messages, whole
//   fold, info  events -> messages, info    outbox    what is to be sent, with its ids
//   overlay     outbox over messages        storage   what is kept across reloads
//   people      who is here, who types      names     how people are shown
//   invitations inviting and being invited
//
// Nothing in this folder knows React.

import { Attachment } from './attach';
import type { Link } from './attach';
import * as calls from './calls';
import { ServerClock } from './clock';
import type { Summary, View } from './conversation';
import { openStorage } from './database';
import { explain } from './errors';
import { Invitations } from './invitations';
import type { Invitation } from './invitations';
import type { Event, Kind, Operation, PresenceStatus } from './model';
import { Names } from './names';
import { Outbox } from './outbox';
import { People } from './people';
import type { Session } from './session';
import type { Entry, Storage } from './storage';
import { Sync } from './sync';
import { connect } from './transport';
import type { Api } from './transport';
import { uuidv7 } from './uuid';

export interface Notice {
  readonly id: number;
  readonly text: string;
}

export interface State {
  readonly link: Link;
  /** Most recently active first. */
  readonly conversations: readonly Summary[];
  /** The list is as the server has it. */
  readonly complete: boolean;
  /** Changes when anybody's presence or name does. */
  readonly presence: number;
  /** What the user is invited to by name. */
  readonly invitations: readonly Invitation[];
  readonly notice: Notice | null;
}

export class NexusClient {
  readonly me: string;
  readonly invitations: Invitations;
  readonly #api: Api;
  readonly #people: People;
  readonly #names: Names;
  readonly #clock = new ServerClock();
  readonly #outbox: Outbox;
  readonly #sync: Sync;
  readonly #attachment: Attachment;
  readonly #subscribers = new Set<() => void>();
  readonly #views = new Map<string, View>();
  readonly #summaries = new Map<string, Summary | null>();
  #state: State | null = null;
  #link: Link = { state: 'connecting' };
  #complete = false;
  #presence = 0;
  #notice: Notice | null = null;
  #told = false;

  constructor(user: string, api: Api, storage: Storage) {
    this.me = user;
    this.#api = api;
    this.#people = new People((id) => (id === null ? this.#present() : this.#changed(id)));
    this.#names = new Names(
      (users) => calls.names(api, users),
      () => this.#present(),
    );
    this.invitations = new Invitations(
      api,
      () => this.newId(),
      () => this.#tell(),
    );
    this.#sync = new Sync(api, user, storage, this.#clock, this.#people, {
      changed: (id) => this.#changed(id),
      linked: (link) => this.#linked(link),
      arrived: (id, events) => this.#arrived(id, events),
      caughtUp: () => {
        void this.#refreshPresence();
        void this.invitations.refresh();
      },
      renamed: () => this.#names.forget(user),
      invited: () => void this.invitations.refresh(),
    });
    this.#outbox = new Outbox(storage, this.#clock, (entry) => calls.transmit(api, entry), {
      changed: (id) => this.#changed(id),
      done: (entry, seq) => this.#sync.conversations.get(entry.conversationId)?.done(entry, seq),
      refused: (entry) => this.#refused(entry),
      unkept: () =>
        this.#notify('This browser can’t store what you write: keep the page open until it is sent.'),
    });
    this.#attachment = new Attachment(api, this.#sync);
  }

  /** A client for whoever is logged in, with what this device has kept. */
  static async open(session: Session): Promise<NexusClient> {
    const storage = await openStorage(session.tenant, session.user, session.device);
    return new NexusClient(session.user, connect(session.token), storage);
  }

  async start(): Promise<void> {
    // Without what was kept everything is fetched afresh.
    await this.#sync.load().catch(() => undefined);
    await this.#outbox
      .load()
      .catch(() => this.#notify('What you wrote earlier could not be read on this device.'));
    await this.#attachment.run();
  }

  stop(): void {
    this.#attachment.stop();
    this.#outbox.setOnline(false);
    this.#sync.stop();
  }

  subscribe = (subscriber: () => void): (() => void) => {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  };

  state = (): State => {
    this.#state ??= {
      link: this.#link,
      conversations: this.#list(),
      complete: this.#complete,
      presence: this.#presence,
      invitations: this.invitations.received,
      notice: this.#notice,
    };
    return this.#state;
  };

  view(id: string): View | null {
    const held = this.#views.get(id);
    if (held) return held;
    const view = this.#sync.conversations.get(id)?.view(this.#outbox.of(id), this.#people.typing(id)) ?? null;
    if (view) this.#views.set(id, view);
    return view;
  }

  /** Undefined: the server doesn't tell, or not yet. */
  presenceOf(user: string): PresenceStatus | undefined {
    return this.#people.status(user);
  }

  lastSeenMs(user: string): number {
    return this.#people.lastSeenMs(user);
  }

  /** How somebody wants to be shown, as far as it is known. */
  nameOf(user: string): string {
    return this.#names.of(user);
  }

  /** Somebody is shown whose name should be known. */
  wantName(user: string): void {
    this.#names.want(user);
  }

  /** Says how one wants to be shown; empty: by one's id. */
  async rename(name: string): Promise<void> {
    this.#names.set(this.me, await calls.rename(this.#api, name));
  }

  reconnectNow(): void {
    this.#attachment.now();
  }

  /** Says that somebody looks at this conversation, or at none. */
  open(id: string | null): void {
    this.#sync.opened = id;
    if (id === null) return;
    this.#sync.pump();
    void this.#loadPeople(id);
  }

  do(id: string, operation: Operation): void {
    void this.#outbox.add(id, operation).catch((error: unknown) => this.#notify(explain(error)));
  }

  retry(key: string): void {
    void this.#outbox.retry(key);
  }

  discard(key: string): void {
    void this.#outbox.discard(key);
  }

  typing(id: string, typing: boolean): void {
    if (this.#link.state !== 'online' || !this.#people.shouldSay(id, typing)) return;
    this.#api.presence.setTyping({ conversationId: id, typing }).catch(() => undefined);
  }

  /** Everything that is here of a conversation has been seen. */
  read(id: string): void {
    const conversation = this.#sync.conversations.get(id);
    const seq = conversation?.log.messages.at(-1)?.seq ?? 0;
    if (!conversation?.readUpTo(seq)) return;
    conversation.unsaidReadSeq = seq;
    this.#changed(id);
    void this.#sayRead(id);
  }

  async loadOlder(id: string): Promise<void> {
    const conversation = this.#sync.conversations.get(id);
    if (!conversation || conversation.loadingOlder || conversation.log.atStart || !conversation.log.cursor)
      return;
    conversation.loadingOlder = true;
    this.#changed(id);
    try {
      conversation.log.older(await calls.olderPage(this.#api, id, conversation.log.pageOlder()));
    } catch (error) {
      this.#notify(explain(error));
    } finally {
      conversation.loadingOlder = false;
      this.#changed(id);
    }
  }

  /** The direct conversation with somebody. Answers with its id. */
  async openDirect(user: string): Promise<string> {
    return this.#sync.describe(await calls.openDirect(this.#api, user)).id;
  }

  /** A new group or public channel; `clientId` comes from `newId` and stays the same when it is tried again. */
  async create(
    clientId: string,
    kind: Exclude<Kind, 'direct'>,
    title: string,
    users: readonly string[],
  ): Promise<string> {
    return this.#sync.describe(await calls.create(this.#api, clientId, kind, title, users)).id;
  }

  /** Joins by a link's token, or by an invitation that names the user. Answers with the conversation's id. */
  async join(by: string | Invitation): Promise<string> {
    const { id, seq } = await this.invitations.accept(by);
    return this.#sync.describe(await calls.conversation(this.#api, id, seq, {})).id;
  }

  async addMembers(id: string, clientId: string, users: readonly string[]): Promise<void> {
    await calls.addMembers(this.#api, id, clientId, users);
  }

  /** An id for something that is not in the outbox. */
  newId(): string {
    return uuidv7(this.#clock.now() ?? Date.now());
  }

  #list(): readonly Summary[] {
    const list: Summary[] = [];
    for (const [id, conversation] of this.#sync.conversations) {
      let summary = this.#summaries.get(id);
      if (summary === undefined) {
        summary = conversation.summary(this.#outbox.of(id), this.#people.typing(id));
        this.#summaries.set(id, summary);
      }
      if (summary) list.push(summary);
    }
    return list.sort((a, b) => b.info.lastAtMs - a.info.lastAtMs);
  }

  #changed(id: string): void {
    this.#views.delete(id);
    this.#summaries.delete(id);
    this.#tell();
  }

  #present(): void {
    this.#presence += 1;
    this.#tell();
  }

  #linked(link: Link): void {
    this.#link = link;
    if (link.state === 'online') this.#complete = true;
    this.#outbox.setOnline(link.state === 'online');
    if (link.state === 'online') {
      for (const [id, { unsaidReadSeq }] of this.#sync.conversations)
        if (unsaidReadSeq) void this.#sayRead(id);
    }
    this.#tell();
  }

  #arrived(id: string, events: readonly Event[]): void {
    for (const event of events) {
      if (event.sender === this.me && event.id) this.#outbox.settle(id, event.id, event.seq);
    }
  }

  #refused(entry: Entry): void {
    // A message stays where it is, with the reason; other things are said once.
    if (entry.operation.type === 'send') return;
    this.#notify(`Not done: ${entry.refusal ?? ''}`);
    void this.#outbox.discard(entry.key);
  }

  #notify(text: string): void {
    this.#notice = { id: (this.#notice?.id ?? 0) + 1, text };
    this.#tell();
  }

  async #sayRead(id: string): Promise<void> {
    const conversation = this.#sync.conversations.get(id);
    const seq = conversation?.unsaidReadSeq ?? 0;
    if (!conversation || seq === 0 || this.#link.state !== 'online') return;
    try {
      await calls.markRead(this.#api, id, seq);
      if (conversation.unsaidReadSeq === seq) conversation.unsaidReadSeq = 0;
    } catch {
      // Said again with the next stream.
    }
  }

  async #loadPeople(id: string): Promise<void> {
    const conversation = this.#sync.conversations.get(id);
    if (!conversation || this.#link.state !== 'online') return;
    try {
      if (!conversation.members) {
        const { members, reflects } = await calls.members(this.#api, id, conversation.log.cursor);
        conversation.members = members;
        conversation.membersReflect = reflects;
        this.#changed(id);
      }
      await this.#refreshPresence();
      for (const marker of await calls.markers(this.#api, id)) conversation.mark(marker);
      this.#changed(id);
    } catch {
      // Large conversations have no markers; the rest is tried again with the next stream.
    }
  }

  /** Asks for those whose presence is on the screen. */
  async #refreshPresence(): Promise<void> {
    const users = new Set<string>();
    for (const { info } of this.#sync.conversations.values()) if (info?.peer) users.add(info.peer);
    const opened = this.#sync.opened;
    const open = opened === null ? undefined : this.#sync.conversations.get(opened);
    if (open && !open.members) return this.#loadPeople(open.id);
    for (const { user } of open?.members ?? []) users.add(user);
    if (users.size === 0) return;
    try {
      for (const presence of await calls.presences(this.#api, [...users])) this.#people.present(presence);
    } catch {
      // No promise; the next stream asks again.
    }
  }

  /** Tells all subscribers, once for many changes at a time. */
  #tell(): void {
    this.#state = null;
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      for (const subscriber of this.#subscribers) subscriber();
    });
  }
}
