// How people want to be shown. Whoever comes into view is asked for, many at a time, and again after a while.

/** After this long a name is asked for anew. */
const FRESH_MS = 600_000;
/** As many as one request may ask for. */
const MOST = 200;

type Ask = (users: readonly string[]) => Promise<ReadonlyMap<string, string>>;

export class Names {
  readonly #names = new Map<string, string>();
  readonly #asked = new Map<string, number>();
  readonly #wanted = new Set<string>();
  readonly #ask: Ask;
  readonly #changed: () => void;

  /** `ask` gives the names that there are; who has none is left out. */
  constructor(ask: Ask, changed: () => void) {
    this.#ask = ask;
    this.#changed = changed;
  }

  /** The name to show: the user's id, until another is known. */
  of(user: string): string {
    return this.#names.get(user) ?? user;
  }

  /** Somebody comes into view. */
  want(user: string): void {
    const asked = this.#asked.get(user);
    if (user === '' || (asked !== undefined && Date.now() - asked < FRESH_MS)) return;
    if (this.#wanted.size === 0) queueMicrotask(() => void this.#learn());
    this.#wanted.add(user);
  }

  /** It has changed: the next look asks anew. */
  forget(user: string): void {
    this.#asked.delete(user);
    this.want(user);
  }

  set(user: string, name: string): void {
    if (name === (this.#names.get(user) ?? '')) return;
    if (name) this.#names.set(user, name);
    else this.#names.delete(user);
    this.#changed();
  }

  async #learn(): Promise<void> {
    const users = [...this.#wanted].slice(0, MOST);
    for (const user of users) {
      this.#wanted.delete(user);
      this.#asked.set(user, Date.now());
    }
    if (this.#wanted.size > 0) queueMicrotask(() => void this.#learn());
    try {
      const names = await this.#ask(users);
      for (const user of users) this.set(user, names.get(user) ?? '');
    } catch {
      // No promise; whoever is shown next is asked for again.
      for (const user of users) this.#asked.delete(user);
    }
  }
}
