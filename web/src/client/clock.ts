/** The server's time, as far as its frames have told it. Client ids are made with it, so that a wrong clock here
 * does no harm. */
export class ServerClock {
  #offset: number | null = null;
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Takes the time that a frame carried. */
  heard(serverMs: number): void {
    this.#offset = serverMs - this.#now();
  }

  /** Unix milliseconds; null before the server was heard for the first time. */
  now(): number | null {
    return this.#offset === null ? null : this.#now() + this.#offset;
  }
}
