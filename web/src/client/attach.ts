// Keeps one stream open, for as long as the person is logged in.

import type { AttachResponse } from '../gen/nexus/v1/stream_pb';
import { backoff, sleep } from './backoff';
import { explain, outcome } from './errors';
import type { Api } from './transport';

/** The most cursors that Attach takes. What is beyond gets a Reset and is read from the history when needed. */
export const MAX_CURSORS = 5_000;

/** A stream without a frame for this long is dead; the server sends one at least every 20 s. */
export const SILENCE_MS = 60_000;

/** The least delay after a server's Reconnect, whatever it says. */
export const RECONNECT_MIN_MS = 200;

export type Link =
  | { readonly state: 'connecting' }
  | { readonly state: 'online' }
  /** `until`: this computer's time, Unix milliseconds, of the next attempt. */
  | { readonly state: 'waiting'; readonly until: number; readonly reason: string }
  | { readonly state: 'signed-out'; readonly reason: string };

export type Frame = AttachResponse['frame'];

export interface Cursor {
  readonly conversationId: string;
  readonly seq: number;
}

/** Who listens to a stream. */
export interface Listener {
  /** Done before each attempt: makes ready what `cursors` answers. */
  prepare(signal: AbortSignal): Promise<void>;
  /** The most recently active conversations first. */
  cursors(): readonly Cursor[];
  frame(frame: Frame): void;
  link(link: Link): void;
}

class Silence extends Error {}

/** Attaches, and attaches again whenever the stream ends, until it is stopped or the token is refused. */
export class Attachment {
  readonly #api: Api;
  readonly #listener: Listener;
  readonly #random: () => number;
  readonly #end = new AbortController();
  #wake = new AbortController();
  #failures = 0;

  constructor(api: Api, listener: Listener, random: () => number = Math.random) {
    this.#api = api;
    this.#listener = listener;
    this.#random = random;
  }

  /** Ends the stream for good. */
  stop(): void {
    this.#end.abort();
  }

  /** Doesn't wait any longer for the next attempt. */
  now(): void {
    this.#wake.abort();
  }

  async run(): Promise<void> {
    while (!this.#stopped()) {
      this.#listener.link({ state: 'connecting' });
      let delay: number | null = null;
      let reason = 'The connection was closed.';
      try {
        const goodbye = await this.#once();
        if (goodbye) {
          delay = Math.max(goodbye.afterMs, RECONNECT_MIN_MS);
          reason = goodbye.reason || reason;
        }
      } catch (error) {
        if (this.#stopped()) return;
        reason = error instanceof Silence ? 'The server fell silent.' : explain(error);
        if (outcome(error) === 'signed-out') {
          this.#listener.link({ state: 'signed-out', reason });
          return;
        }
      }
      delay ??= backoff(++this.#failures, this.#random);
      await this.#wait(delay, reason);
    }
  }

  #stopped(): boolean {
    return this.#end.signal.aborted;
  }

  async #wait(delay: number, reason: string): Promise<void> {
    if (this.#stopped()) return;
    this.#wake = new AbortController();
    this.#listener.link({ state: 'waiting', until: Date.now() + delay, reason });
    await sleep(delay, AbortSignal.any([this.#wake.signal, this.#end.signal]));
  }

  /** One stream, to its end. Answers with the server's Reconnect, if it said one. */
  async #once(): Promise<{ afterMs: number; reason: string } | null> {
    const silence = new AbortController();
    const signal = AbortSignal.any([silence.signal, this.#end.signal]);
    const watch = () => setTimeout(() => silence.abort(new Silence()), SILENCE_MS);
    let timer = watch();
    try {
      await this.#listener.prepare(signal);
      const cursors = this.#listener
        .cursors()
        .slice(0, MAX_CURSORS)
        .map(({ conversationId, seq }) => ({ conversationId, seq: BigInt(seq) }));
      for await (const { frame } of this.#api.stream.attach({ cursors }, { signal, timeoutMs: 0 })) {
        clearTimeout(timer);
        timer = watch();
        if (frame.case === 'reconnect') return frame.value;
        if (frame.case === 'attached') {
          this.#failures = 0;
          this.#listener.link({ state: 'online' });
        }
        this.#listener.frame(frame);
      }
      return null;
    } catch (error) {
      if (silence.signal.aborted && !this.#end.signal.aborted) throw new Silence();
      throw error;
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }
}
