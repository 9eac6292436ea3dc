// What a person wants done, until the server has done it: kept across reloads, sent in order per conversation,
// and always with the same id, so that it happens once however often it is sent.

import { backoff, sleep } from './backoff';
import type { ServerClock } from './clock';
import { beyondHorizon, explain, outcome } from './errors';
import type { Operation } from './model';
import type { Entry, Storage } from './storage';
import { uuidv7 } from './uuid';

/** Sends an operation under an id. Answers with the seq of its event. */
export type Transmit = (entry: Entry & { clientId: string }) => Promise<number>;

export interface OutboxListener {
  /** The entries of a conversation changed. */
  changed(conversationId: string): void;
  /** The server did it, by the event with this seq. */
  done(entry: Entry, seq: number): void;
  /** The server refused it for good. */
  refused(entry: Entry): void;
  /** The browser would not keep an entry: it is sent all the same, but a reload forgets it. */
  unkept(): void;
}

export class Outbox {
  readonly #storage: Storage;
  readonly #clock: ServerClock;
  readonly #transmit: Transmit;
  readonly #listener: OutboxListener;
  readonly #busy = new Set<string>();
  /** Keys of entries that live as long as the page, because the storage is full or broken. */
  readonly #unkept = new Set<string>();
  #entries: readonly Entry[] = [];
  #wake = new AbortController();
  #online = false;
  #made = 0;

  constructor(storage: Storage, clock: ServerClock, transmit: Transmit, listener: OutboxListener) {
    this.#storage = storage;
    this.#clock = clock;
    this.#transmit = transmit;
    this.#listener = listener;
  }

  /** Takes up what an earlier page left. */
  async load(): Promise<void> {
    this.#entries = await this.#storage.entries();
    for (const id of new Set(this.#entries.map((entry) => entry.conversationId))) this.#listener.changed(id);
  }

  of(conversationId: string): readonly Entry[] {
    return this.#entries.filter((entry) => entry.conversationId === conversationId);
  }

  async add(conversationId: string, operation: Operation): Promise<void> {
    const createdAtMs = Date.now();
    const order = `${String(createdAtMs).padStart(15, '0')}-${String(this.#made++).padStart(6, '0')}`;
    const entry: Entry = {
      key: `${order}-${crypto.randomUUID()}`,
      conversationId,
      operation,
      createdAtMs,
      clientId: null,
      open: 0,
      refusal: null,
      final: false,
    };
    try {
      await this.#storage.addEntry(entry);
    } catch {
      this.#unkept.add(entry.key);
      this.#listener.unkept();
    }
    this.#replace(entry.key, entry);
    void this.#drain(conversationId);
  }

  /** Sends a refused entry once more; under a new id only if every attempt was definitely refused. */
  async retry(key: string): Promise<void> {
    const entry = await this.#change(key, (it) => ({
      ...it,
      refusal: null,
      clientId: it.open > 0 ? it.clientId : null,
    }));
    if (entry) void this.#drain(entry.conversationId);
  }

  async discard(key: string): Promise<void> {
    this.#replace(key, null);
    await this.#remove(key);
  }

  /** The stream brought an event with this id: whatever became of the answer, it is done. */
  settle(conversationId: string, clientId: string, seq: number): void {
    const entry = this.#entries.find(
      (it) => it.conversationId === conversationId && it.clientId === clientId,
    );
    if (entry) void this.#done(entry, seq);
  }

  /** Sending rests while there is no stream, and goes on at once when there is. */
  setOnline(online: boolean): void {
    this.#online = online;
    if (!online) return;
    this.#wake.abort();
    this.#wake = new AbortController();
    for (const id of new Set(this.#entries.map((entry) => entry.conversationId))) void this.#drain(id);
  }

  /** One entry of a conversation after the other. */
  async #drain(conversationId: string): Promise<void> {
    if (this.#busy.has(conversationId)) return;
    this.#busy.add(conversationId);
    try {
      let failures = 0;
      for (;;) {
        const entry = this.of(conversationId).find((it) => it.refusal === null);
        if (!entry || !this.#online) return;
        // A storage that fails now may work later; until its id is kept, nothing is sent.
        if (await this.#attempt(entry).catch(() => false)) failures = 0;
        else await sleep(backoff(++failures), this.#wake.signal);
      }
    } finally {
      this.#busy.delete(conversationId);
    }
  }

  /** Whether the entry is dealt with. */
  async #attempt(entry: Entry): Promise<boolean> {
    const now = this.#clock.now();
    if (now === null) return false;
    const claimed = await this.#change(entry.key, (it) => ({
      ...it,
      clientId: it.clientId ?? uuidv7(now),
      open: it.open + 1,
    }));
    if (!claimed?.clientId) {
      this.#replace(entry.key, null);
      return true;
    }
    try {
      const seq = await this.#transmit({ ...claimed, clientId: claimed.clientId });
      await this.#done(claimed, seq);
      return true;
    } catch (error) {
      if (outcome(error) !== 'refused') return false;
      const refused = await this.#change(entry.key, (it) => ({
        ...it,
        open: it.open - 1,
        refusal: explain(error),
        final: beyondHorizon(error),
      }));
      if (refused) this.#listener.refused(refused);
      return true;
    }
  }

  async #done(entry: Entry, seq: number): Promise<void> {
    if (!this.#entries.some((it) => it.key === entry.key)) return;
    this.#listener.done(entry, seq);
    this.#replace(entry.key, null);
    await this.#remove(entry.key);
  }

  /** One that can't be removed is sent once more after a reload, under the same id, and changes nothing. */
  async #remove(key: string): Promise<void> {
    if (!this.#unkept.delete(key)) await this.#storage.removeEntry(key).catch(() => undefined);
  }

  async #change(key: string, change: (entry: Entry) => Entry): Promise<Entry | null> {
    const held = this.#entries.find((it) => it.key === key);
    const entry = this.#unkept.has(key)
      ? held
        ? change(held)
        : null
      : await this.#storage.changeEntry(key, change);
    if (entry && this.#entries.some((it) => it.key === key)) this.#replace(key, entry);
    return entry;
  }

  #replace(key: string, entry: Entry | null): void {
    const old = this.#entries.find((it) => it.key === key);
    const rest = this.#entries.filter((it) => it.key !== key);
    this.#entries = entry ? [...rest, entry].sort((a, b) => (a.key < b.key ? -1 : 1)) : rest;
    const conversationId = (entry ?? old)?.conversationId;
    if (conversationId) this.#listener.changed(conversationId);
  }
}
