// A conversation as this user sees it, kept up to date by the events of the stream.

import type { Event, Info } from './model';

export const unread = (info: Info): number => Math.max(0, info.messages - info.readMessages);

/** Applies events, ordered by seq, to what is known. Those that it reflects already are left out. */
export function foldInfo(info: Info, events: readonly Event[], me: string): Info {
  let next = info;
  for (const event of events) {
    if (event.seq <= next.reflects) {
      // The count of messages may be older than the rest of the answer.
      next = { ...next, messages: Math.max(next.messages, event.messages) };
      continue;
    }
    next = { ...applied(next, event, me), lastSeq: event.seq, lastAtMs: event.timeMs, reflects: event.seq };
  }
  return next;
}

function applied(info: Info, event: Event, me: string): Info {
  const { body } = event;
  switch (body.type) {
    case 'sent': {
      const next = { ...info, messages: event.messages };
      // Whoever writes has read.
      return event.sender === me ? { ...next, readSeq: event.seq, readMessages: event.messages } : next;
    }
    case 'changed':
      return { ...info, ...body.change };
    case 'added': {
      const mine = body.members.find(({ user }) => user === me);
      const next = { ...info, memberCount: info.memberCount + body.members.length };
      // What was said before one joined is not unread.
      return mine ? { ...next, role: mine.role, readSeq: event.seq, readMessages: event.messages } : next;
    }
    case 'removed':
      return { ...info, memberCount: Math.max(0, info.memberCount - 1) };
    case 'role':
      return body.user === me ? { ...info, role: body.role } : info;
    default:
      return info;
  }
}

/** The newer of two answers; markers only move up. */
export function newer(held: Info | null, fetched: Info): Info {
  if (!held) return fetched;
  const base = fetched.reflects >= held.reflects ? fetched : held;
  const read = fetched.readSeq >= held.readSeq ? fetched : held;
  return { ...base, readSeq: read.readSeq, readMessages: read.readMessages };
}
