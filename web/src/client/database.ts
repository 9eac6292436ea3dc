// The storage of a real browser: IndexedDB, a database per user and device.

import { openDB } from 'idb';
import type { DBSchema, IDBPDatabase } from 'idb';
import { MemoryStorage } from './storage';
import type { Entry, Saved, Storage } from './storage';

interface Schema extends DBSchema {
  conversations: { key: string; value: Saved };
  outbox: { key: string; value: Entry };
}

/** Raised when the stored form changes. What is cached is fetched again then; the outbox stays. */
const VERSION = 1;

class Database implements Storage {
  readonly #db: IDBPDatabase<Schema>;

  constructor(db: IDBPDatabase<Schema>) {
    this.#db = db;
  }

  conversations = () => this.#db.getAll('conversations');

  async saveConversation(saved: Saved): Promise<void> {
    await this.#db.put('conversations', saved);
  }

  dropConversation = (id: string) => this.#db.delete('conversations', id);

  entries = () => this.#db.getAll('outbox');

  async addEntry(entry: Entry): Promise<void> {
    await this.#db.put('outbox', entry);
  }

  async changeEntry(key: string, change: (entry: Entry) => Entry): Promise<Entry | null> {
    const transaction = this.#db.transaction('outbox', 'readwrite', { durability: 'strict' });
    const entry = await transaction.store.get(key);
    const changed = entry ? change(entry) : null;
    if (changed) await transaction.store.put(changed);
    await transaction.done;
    return changed;
  }

  removeEntry = (key: string) => this.#db.delete('outbox', key);
}

/** Opens the database; where the browser allows none, what is kept lives as long as the page. */
export async function openStorage(tenant: string, user: string, device: string): Promise<Storage> {
  try {
    const db = await openDB<Schema>(`nexus/${tenant}/${user}/${device}`, VERSION, {
      upgrade(db) {
        db.createObjectStore('conversations', { keyPath: 'id' });
        db.createObjectStore('outbox', { keyPath: 'key' });
      },
    });
    return new Database(db);
  } catch {
    return new MemoryStorage();
  }
}
