// A timeline as rows: days, the line above what is new, and messages in groups of one person.

import type { Shown } from '../client/overlay';
import { daysBetween } from './format';

/** Messages of one person belong together when no more than this lies between them. */
const GROUP_MS = 5 * 60_000;

export type Row =
  | { readonly type: 'day'; readonly key: string; readonly timeMs: number }
  | { readonly type: 'new'; readonly key: string }
  | {
      readonly type: 'message';
      readonly key: string;
      readonly message: Shown;
      /** First and last of a group. */
      readonly first: boolean;
      readonly last: boolean;
    };

/** `newAfter`: the read marker when the conversation was opened; null: nothing was new. */
export function rows(messages: readonly Shown[], me: string, newAfter: number | null): readonly Row[] {
  const out: Row[] = [];
  let before: Shown | null = null;
  let marked = newAfter === null;
  messages.forEach((message, index) => {
    const after = messages[index + 1];
    const newDay = !before || daysBetween(before.timeMs, message.timeMs) !== 0;
    if (newDay) out.push({ type: 'day', key: `day-${message.key}`, timeMs: message.timeMs });
    const isNew = !marked && message.seq > (newAfter ?? 0) && message.sender !== me;
    if (isNew) {
      out.push({ type: 'new', key: 'new' });
      marked = true;
    }
    const first = newDay || isNew || !belongs(before, message);
    const last = !after || !belongs(message, after) || daysBetween(message.timeMs, after.timeMs) !== 0;
    out.push({ type: 'message', key: message.key, message, first, last });
    before = message;
  });
  return out;
}

function belongs(before: Shown | null, message: Shown): boolean {
  return before?.sender === message.sender && message.timeMs - before.timeMs < GROUP_MS;
}
