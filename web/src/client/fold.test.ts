import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fold } from './fold';
import { ConversationLog } from './log';
import type { Message, Page } from './model';
import { foldMessages } from './testing/history';
import { anyLog } from './testing/logs';
import * as wire from './wire';

type Log = Parameters<typeof foldMessages>[0];

/** What a message says, without up to where it is known to be true. */
const said = (messages: readonly Message[]) => messages.map((it) => ({ ...it, reflects: 0 }));

const afresh = (log: Log): Message[] => foldMessages(log).map((it) => wire.message(it, log.length));

/** What the server answers when its log ends at `end`: messages below `before`. */
function page(log: Log, end: number, before: number, limit: number): Page {
  const all = afresh(log.slice(0, end)).filter(({ seq }) => seq < before);
  const messages = all.slice(-limit);
  const whole = messages.length === all.length;
  const last = Math.min(end, before - 1);
  return {
    messages,
    first: whole ? 1 : (messages[0]?.seq ?? 1),
    last,
    atStart: whole,
    atEnd: last === end,
    reflects: end,
  };
}

describe('fold', () => {
  it('ends, event by event, where fetching afresh does', () => {
    fc.assert(
      fc.property(anyLog, fc.nat(), (log, cut) => {
        const events = log.map(wire.event);
        const at = cut % (events.length + 1);
        const first = fold([], events.slice(0, at), 1).messages;
        const both = fold(first, events.slice(at), 1).messages;
        expect(said(both)).toEqual(said(afresh(log)));
      }),
    );
  });

  it('goes on from a page, however far ahead of the stream the page is', () => {
    fc.assert(
      fc.property(anyLog, fc.nat(), fc.nat(), (log, a, b) => {
        const end = a % (log.length + 1);
        const streamFrom = b % (end + 1);
        const held = page(log, end, Infinity, 1000).messages;
        const events = log.slice(streamFrom).map(wire.event);
        expect(said(fold(held, events, 1).messages)).toEqual(said(afresh(log)));
      }),
    );
  });

  it('takes an edit of an erased edit back to the server', () => {
    const erased = { seq: 5, id: '', sender: 'alice', timeMs: 1, target: 0, messages: 1, erased: false };
    expect(fold([], [{ ...erased, body: { type: 'erased', seqs: [3] } }], 1).stale).toBe(true);
  });
});

describe('ConversationLog', () => {
  it('is the newest part of the log, whatever was reset, paged and repeated on the way', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('stream' as const), n: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('reset' as const), n: fc.integer({ min: 0, max: 9 }) }),
      fc.record({ do: fc.constant('older' as const), n: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('again' as const), n: fc.integer({ min: 1, max: 9 }) }),
    );
    fc.assert(
      fc.property(anyLog, fc.array(step, { maxLength: 25 }), (log, steps) => {
        const events = log.map(wire.event);
        const held = new ConversationLog();
        let sent = 0;
        for (const { do: what, n } of steps) {
          const next = Math.min(events.length, sent + n);
          if (what === 'stream') {
            held.receive(events.slice(sent, next));
            sent = next;
          } else if (what === 'reset' && next > held.cursor) {
            held.reset('too-long', sent + 1, next);
            sent = next;
            // Live events go on while the page is fetched, and the page may be ahead of them.
            const more = Math.min(events.length, sent + 2);
            held.receive(events.slice(sent, more));
            sent = more;
            held.newest(page(log, Math.min(events.length, next + (n % 4)), Infinity, 4));
          } else if (what === 'older' && !held.atStart && held.cursor > 0) {
            const { before, atLeast } = held.pageOlder();
            const answer = page(log, Math.max(atLeast, held.cursor), before, n);
            const more = Math.min(events.length, sent + 2);
            held.receive(events.slice(sent, more));
            sent = more;
            held.older(answer);
          } else if (what === 'again') {
            held.receive(events.slice(Math.max(0, sent - n), sent));
          }
        }
        // Nothing is sent twice: what came during a reset must not have been lost.
        held.receive(events.slice(sent));
        const whole = afresh(log).filter(({ seq }) => seq >= held.first);
        expect(said(held.messages)).toEqual(said(whole));
        expect(held.cursor).toBe(events.length);
      }),
      { numRuns: 400 },
    );
  });

  it('never applies an event above a gap', () => {
    const held = new ConversationLog({ cursor: 3, first: 1, atStart: true, messages: [] });
    const event = { id: '', sender: 'a', timeMs: 1, target: 0, messages: 0, erased: false } as const;
    expect(held.receive([{ ...event, seq: 5, body: { type: 'unknown' } }])).toEqual([]);
    expect(held.cursor).toBe(3);
    expect(held.missing).toBe(4);
  });

  it('forgets what it has when the server’s log is another one', () => {
    const held = new ConversationLog({ cursor: 30, first: 1, atStart: true, messages: [] });
    held.reset('ahead', 1, 4);
    expect(held.cursor).toBe(0);
    expect(held.missing).toBe(4);
  });

  it('moves on at once over what nobody may see', () => {
    const held = new ConversationLog({ cursor: 3, first: 1, atStart: true, messages: [] });
    held.reset('not-a-member', 4, 9);
    expect(held.cursor).toBe(9);
    expect(held.missing).toBeNull();
  });
});
