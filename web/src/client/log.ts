// What a device has of one conversation: the newest messages, whole from `first` to `cursor`, and how events,
// resets and pages extend them. Nothing here waits or calls; whoever holds it fetches what `missing` names.

import { find, fold } from './fold';
import type { Event, Message, Page } from './model';

/** Events that wait for a missing range, at most; beyond it they are fetched with the range. */
export const MAX_WAITING = 2_000;

/** Why the server doesn't send a range. */
export type ResetReason = 'no-cursor' | 'ahead' | 'below-floor' | 'too-long' | 'not-a-member';

/** What is kept across reloads, as one value: a cursor is worth nothing without its messages. */
export interface Window {
  readonly cursor: number;
  readonly first: number;
  readonly atStart: boolean;
  readonly messages: readonly Message[];
}

export class ConversationLog {
  /** Complete up to here; 0: nothing. */
  cursor = 0;
  /** From here on every message is held. */
  first = 1;
  /** Nothing that the user may see lies below `first`. */
  atStart = false;
  messages: readonly Message[] = [];
  #gap: { last: number; waiting: Event[] } | null = null;
  #paging: Event[] | null = null;

  constructor(window?: Window) {
    if (!window) return;
    this.cursor = window.cursor;
    this.first = window.first;
    this.atStart = window.atStart;
    this.messages = window.messages;
  }

  /** The seq up to which the newest page must be fetched before anything else can be applied, if it must. */
  get missing(): number | null {
    return this.#gap?.last ?? null;
  }

  /** Live events wait for the missing range. */
  get waiting(): boolean {
    return (this.#gap?.waiting.length ?? 0) > 0;
  }

  /** What to keep: at most the newest `limit` messages. */
  window(limit: number): Window {
    const { cursor, first, atStart, messages } = this;
    const cut = messages[messages.length - limit - 1];
    if (!cut) return { cursor, first, atStart, messages };
    return { cursor, first: cut.seq + 1, atStart: false, messages: messages.slice(-limit) };
  }

  /** A new stream goes on from the cursor: it says itself what it won't send. */
  attached(): void {
    this.#gap = null;
  }

  /** Takes consecutive events of a stream. Answers with those that were new and could be applied. */
  receive(events: readonly Event[]): readonly Event[] {
    const fresh: Event[] = [];
    for (const event of events) {
      if (this.#gap) this.#wait(event);
      else if (event.seq <= this.cursor) continue;
      else if (event.seq === this.cursor + fresh.length + 1) fresh.push(event);
      // The stream must not leave one out. If it did, the history has it.
      else this.#gap = { last: event.seq - 1, waiting: [event] };
    }
    this.#apply(fresh);
    return fresh;
  }

  /** The server won't send `first` to `last`. */
  reset(reason: ResetReason, first: number, last: number): void {
    if (reason === 'ahead') {
      Object.assign(this, new ConversationLog());
    } else if (reason === 'below-floor' && first <= this.cursor + 1) {
      this.messages = this.messages.filter(({ seq }) => seq > last);
      this.cursor = Math.max(this.cursor, last);
      this.first = Math.max(this.first, last + 1);
      this.atStart = true;
      return;
    } else if (reason === 'not-a-member' && this.cursor > 0 && first <= this.cursor + 1) {
      this.cursor = Math.max(this.cursor, last);
      return;
    }
    if (last > this.cursor || this.cursor === 0) this.#gap = { last, waiting: [] };
  }

  /** What is held can't be trusted: have it fetched afresh. */
  invalidate(): void {
    this.#gap = { last: this.cursor, waiting: [] };
  }

  /** Takes the newest page. Answers with the waiting events that it made room for. */
  newest(page: Page): readonly Event[] {
    const gap = this.#gap;
    if (page.last < (gap?.last ?? this.cursor)) return [];
    this.#gap = null;
    this.#paging = null;
    this.messages = page.messages;
    this.first = page.first;
    this.atStart = page.atStart;
    this.cursor = page.last;
    return gap ? this.receive(gap.waiting) : [];
  }

  /** A page of older messages is about to be fetched: below this seq, reflecting at least that one. */
  pageOlder(): { before: number; atLeast: number } {
    this.#paging = [];
    return { before: this.first, atLeast: this.cursor };
  }

  /** Takes a page of older messages. What happened to them meanwhile is applied. */
  older(page: Page): void {
    const meanwhile = this.#paging;
    this.#paging = null;
    if (!meanwhile || page.last < this.first - 1) return;
    const below = page.messages.filter(({ seq }) => seq < this.first);
    this.messages = [...fold(below, meanwhile, Infinity).messages, ...this.messages];
    this.first = Math.min(this.first, page.first);
    this.atStart = page.atStart;
  }

  get(seq: number): Message | undefined {
    return find(this.messages, seq);
  }

  #wait(event: Event): void {
    const gap = this.#gap;
    if (!gap || event.seq <= gap.last + gap.waiting.length) return;
    const joins = event.seq === gap.last + gap.waiting.length + 1;
    if (joins && gap.waiting.length < MAX_WAITING) gap.waiting.push(event);
    else this.#gap = { last: event.seq - 1, waiting: [event] };
  }

  #apply(events: readonly Event[]): void {
    const last = events.at(-1);
    if (!last) return;
    this.#paging?.push(...events);
    const { messages, stale } = fold(this.messages, events, this.first);
    this.messages = messages;
    this.cursor = last.seq;
    for (const { body } of events) {
      if (body.type === 'trimmed' && body.through >= this.first - 1) {
        this.first = Math.max(this.first, body.through + 1);
        this.atStart = true;
      }
    }
    if (stale) this.invalidate();
  }
}
