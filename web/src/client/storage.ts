// What a device keeps across reloads. One value per conversation, so that a cursor and the messages that it
// vouches for are written together or not at all.

import type { Window } from './log';
import type { Info, Operation } from './model';

export interface Saved {
  readonly id: string;
  readonly info: Info;
  readonly window: Window;
}

/** Something to be sent. */
export interface Entry {
  /** Name on this device; orders the entries by when they were made. */
  readonly key: string;
  readonly conversationId: string;
  readonly operation: Operation;
  readonly createdAtMs: number;
  /** Null until the first transmission; then the same on every retry. */
  readonly clientId: string | null;
  /** Transmissions of which nobody knows how they ended. */
  readonly open: number;
  /** Why the server refused it. */
  readonly refusal: string | null;
  /** Refused in a way that forbids sending it again under a new id. */
  readonly final: boolean;
}

export interface Storage {
  conversations(): Promise<Saved[]>;
  saveConversation(saved: Saved): Promise<void>;
  dropConversation(id: string): Promise<void>;
  /** By key. */
  entries(): Promise<Entry[]>;
  addEntry(entry: Entry): Promise<void>;
  /** Changes an entry in one step, even if another tab does the same. Null when it is gone. */
  changeEntry(key: string, change: (entry: Entry) => Entry): Promise<Entry | null>;
  removeEntry(key: string): Promise<void>;
}

/** Keeps nothing across reloads: for tests, and for browsers that refuse a database. */
export class MemoryStorage implements Storage {
  readonly #conversations = new Map<string, Saved>();
  readonly #entries = new Map<string, Entry>();

  conversations = () => Promise.resolve([...this.#conversations.values()]);

  saveConversation = (saved: Saved) => {
    this.#conversations.set(saved.id, saved);
    return Promise.resolve();
  };

  dropConversation = (id: string) => {
    this.#conversations.delete(id);
    return Promise.resolve();
  };

  entries = () => Promise.resolve([...this.#entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1)));

  addEntry = (entry: Entry) => {
    this.#entries.set(entry.key, entry);
    return Promise.resolve();
  };

  changeEntry = (key: string, change: (entry: Entry) => Entry) => {
    const entry = this.#entries.get(key);
    if (!entry) return Promise.resolve(null);
    const changed = change(entry);
    this.#entries.set(key, changed);
    return Promise.resolve(changed);
  };

  removeEntry = (key: string) => {
    this.#entries.delete(key);
    return Promise.resolve();
  };
}
