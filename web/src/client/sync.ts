// Keeps all conversations of the user complete: the stream first, and the history for what it doesn't send.

import { AccountArea, ResetReason as WireReason } from '../gen/nexus/v1/stream_pb';
import type { Reset } from '../gen/nexus/v1/stream_pb';
import type { Cursor, Frame, Link, Listener } from './attach';
import { backoff, sleep } from './backoff';
import * as calls from './calls';
import type { ServerClock } from './clock';
import { Conversation } from './conversation';
import { outcome } from './errors';
import type { ResetReason } from './log';
import type { Event, Info } from './model';
import type { People } from './people';
import type { Storage } from './storage';
import type { Api } from './transport';
import * as wire from './wire';

/** So many conversations are fetched by themselves, the most recently active; others when they are opened. */
const EAGER = 50;
/** Fetches at a time. */
const PARALLEL = 3;
const SAVE_AFTER_MS = 300;

const reasons: Partial<Record<WireReason, ResetReason>> = {
  [WireReason.AHEAD]: 'ahead',
  [WireReason.BELOW_FLOOR]: 'below-floor',
  [WireReason.TOO_LONG]: 'too-long',
  [WireReason.NOT_A_MEMBER]: 'not-a-member',
};

export interface SyncListener {
  /** Something of this conversation changed. */
  changed(conversationId: string): void;
  linked(link: Link): void;
  /** The stream brought these for the first time. */
  arrived(conversationId: string, events: readonly Event[]): void;
  caughtUp(): void;
  /** The user's own name has changed, on another device. */
  renamed(): void;
  /** What the user is invited to has changed. */
  invited(): void;
}

export class Sync implements Listener {
  readonly conversations = new Map<string, Conversation>();
  /** The open one is fetched before all others. */
  opened: string | null = null;
  readonly #api: Api;
  readonly #me: string;
  readonly #storage: Storage;
  readonly #clock: ServerClock;
  readonly #people: People;
  readonly #listener: SyncListener;
  readonly #saves = new Map<string, ReturnType<typeof setTimeout>>();
  #stream = new AbortController();
  #fetching = 0;

  constructor(
    api: Api,
    me: string,
    storage: Storage,
    clock: ServerClock,
    people: People,
    listener: SyncListener,
  ) {
    this.#api = api;
    this.#me = me;
    this.#storage = storage;
    this.#clock = clock;
    this.#people = people;
    this.#listener = listener;
  }

  /** Takes up what an earlier page kept. */
  async load(): Promise<void> {
    for (const saved of await this.#storage.conversations()) {
      this.conversations.set(saved.id, new Conversation(saved.id, this.#me, saved));
      this.#listener.changed(saved.id);
    }
  }

  async prepare(signal: AbortSignal): Promise<void> {
    const infos = await calls.conversations(this.#api, { signal });
    const present = new Set(infos.map(({ id }) => id));
    for (const id of this.conversations.keys()) if (!present.has(id)) this.#drop(id);
    for (const info of infos) this.describe(info);
  }

  cursors(): readonly Cursor[] {
    return this.#byActivity()
      .filter(({ log }) => log.cursor > 0)
      .map(({ id, log }) => ({ conversationId: id, seq: log.cursor }));
  }

  link(link: Link): void {
    if (link.state !== 'online') {
      this.#stream.abort();
      this.#people.forget();
    }
    this.#listener.linked(link);
  }

  frame(frame: Frame): void {
    switch (frame.case) {
      case 'attached':
        this.#clock.heard(Number(frame.value.timeMs));
        this.#stream = new AbortController();
        for (const { log } of this.conversations.values()) log.attached();
        break;
      case 'heartbeat':
        this.#clock.heard(Number(frame.value.timeMs));
        break;
      case 'events':
        this.#events(frame.value.conversationId, frame.value.events.map(wire.event));
        break;
      case 'reset':
        this.#reset(frame.value);
        break;
      case 'caughtUp':
        this.#listener.caughtUp();
        break;
      case 'ephemeral':
        this.#ephemeral(frame.value.body);
        break;
      default:
    }
  }

  /** Takes what the server says of a conversation, which may be a new one. */
  describe(info: Info): Conversation {
    const held = this.conversations.get(info.id)?.info;
    // The same id in another log: the server's data was replaced. What is kept here is of the old one.
    if (held && held.createdAtMs !== info.createdAtMs) this.#drop(info.id);
    const conversation = this.#conversation(info.id);
    conversation.describe(info);
    this.#listener.changed(info.id);
    return conversation;
  }

  /** Fetches whatever is missing, the open conversation first. */
  pump(): void {
    while (this.#fetching < PARALLEL && !this.#stream.signal.aborted) {
      const next = this.#nextMissing();
      if (!next) return;
      this.#fetching += 1;
      next.syncing = true;
      void this.#fetch(next).finally(() => {
        this.#fetching -= 1;
        next.syncing = false;
        this.#listener.changed(next.id);
        this.pump();
      });
    }
  }

  /** Writes everything that waits to be kept. */
  flush(): void {
    for (const id of [...this.#saves.keys()]) this.#save(id);
  }

  stop(): void {
    this.#stream.abort();
    this.#people.forget();
    this.flush();
  }

  #conversation(id: string): Conversation {
    let conversation = this.conversations.get(id);
    if (!conversation) {
      conversation = new Conversation(id, this.#me);
      this.conversations.set(id, conversation);
    }
    return conversation;
  }

  #events(id: string, events: readonly Event[]): void {
    const conversation = this.#conversation(id);
    this.#arrived(conversation, conversation.receive(events));
    if (conversation.log.missing !== null || !conversation.info) this.pump();
  }

  #arrived(conversation: Conversation, events: readonly Event[]): void {
    const { id } = conversation;
    for (const { body, sender } of events) {
      if (body.type === 'sent') this.#people.types(id, sender, false);
      if (body.type === 'removed' && body.user === this.#me) {
        this.#drop(id);
        return;
      }
    }
    if (events.length > 0) this.#listener.arrived(id, events);
    this.#keep(conversation);
  }

  #reset(reset: Reset): void {
    const conversation = this.#conversation(reset.conversationId);
    conversation.log.reset(reasons[reset.reason] ?? 'no-cursor', Number(reset.first), Number(reset.last));
    conversation.members = null;
    if (reset.reason === WireReason.AHEAD) conversation.info = null;
    this.#keep(conversation);
    this.pump();
  }

  #ephemeral(body: Extract<Frame, { case: 'ephemeral' }>['value']['body']): void {
    switch (body.case) {
      case 'typing':
        if (body.value.user !== this.#me)
          this.#people.types(body.value.conversationId, body.value.user, body.value.typing);
        break;
      case 'presence':
        this.#people.present(wire.presence(body.value));
        break;
      case 'marker': {
        const { conversationId, marker } = body.value;
        if (!marker) break;
        this.#conversation(conversationId).mark({ user: marker.user, readSeq: Number(marker.readSeq) });
        this.#listener.changed(conversationId);
        break;
      }
      case 'account':
        if (body.value.area === AccountArea.PROFILE) this.#listener.renamed();
        if (body.value.area === AccountArea.INVITATIONS) this.#listener.invited();
        break;
      default:
    }
  }

  #byActivity(): Conversation[] {
    return [...this.conversations.values()].sort(
      (a, b) => (b.info?.lastAtMs ?? Infinity) - (a.info?.lastAtMs ?? Infinity),
    );
  }

  #nextMissing(): Conversation | undefined {
    const wanted = (it: Conversation) => !it.syncing && (it.log.missing !== null || !it.info);
    const opened = this.opened === null ? undefined : this.conversations.get(this.opened);
    if (opened && wanted(opened)) return opened;
    const ranked = this.#byActivity();
    return ranked.find((it, rank) => wanted(it) && (rank < EAGER || it.log.waiting || !it.info));
  }

  /** Fetches a conversation's newest page, and what it is, until that worked or the stream ends. */
  async #fetch(conversation: Conversation): Promise<void> {
    const { signal } = this.#stream;
    const { id, log } = conversation;
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        const page =
          log.missing === null ? null : await calls.newestPage(this.#api, id, log.missing, { signal });
        const info = await calls.conversation(this.#api, id, page?.last ?? log.cursor, { signal });
        if (this.conversations.get(id) !== conversation) return;
        conversation.describe(info);
        if (page) this.#arrived(conversation, conversation.newest(page));
        else this.#keep(conversation);
        return;
      } catch (error) {
        if (outcome(error) === 'refused') {
          this.#drop(id);
          return;
        }
        await sleep(backoff(failures), signal);
      }
    }
  }

  #keep(conversation: Conversation): void {
    const { id } = conversation;
    this.#listener.changed(id);
    if (this.conversations.get(id) !== conversation || this.#saves.has(id)) return;
    this.#saves.set(
      id,
      setTimeout(() => this.#save(id), SAVE_AFTER_MS),
    );
  }

  #save(id: string): void {
    clearTimeout(this.#saves.get(id));
    this.#saves.delete(id);
    const saved = this.conversations.get(id)?.saved();
    if (saved) void this.#storage.saveConversation(saved).catch(() => undefined);
  }

  #drop(id: string): void {
    this.conversations.delete(id);
    void this.#storage.dropConversation(id).catch(() => undefined);
    this.#listener.changed(id);
  }
}
