// What events make of messages. Applying a stream event by event ends where fetching afresh does.

import type { Event, Message, Reaction } from './model';

/** Index of the message with this seq, or of where it would stand. `messages` are ordered by seq. */
export function position(messages: readonly Message[], seq: number): number {
  let low = 0;
  let high = messages.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((messages[middle]?.seq ?? Infinity) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function find(messages: readonly Message[], seq: number): Message | undefined {
  const found = messages[position(messages, seq)];
  return found?.seq === seq ? found : undefined;
}

export interface Folded {
  readonly messages: readonly Message[];
  /** The events can't be applied to messages alone: fetch afresh. */
  readonly stale: boolean;
}

/**
 * Applies events, ordered by seq, to the messages from seq `first` on. What a message reflects already is not
 * applied again; what happens to messages below `first` is left to the page that will bring them.
 */
export function fold(before: readonly Message[], events: readonly Event[], first: number): Folded {
  const messages = [...before];
  let stale = false;
  const change = (event: Event, seq: number, how: (message: Message) => Message) => {
    const at = position(messages, seq);
    const message = messages[at];
    if (message?.seq !== seq || message.reflects >= event.seq) return;
    messages[at] = { ...how(message), reflects: event.seq };
  };
  for (const event of events) {
    const { body, target } = event;
    switch (body.type) {
      case 'sent': {
        if (body.thread) change(event, body.thread, (it) => ({ ...it, threadReplies: it.threadReplies + 1 }));
        const at = position(messages, event.seq);
        if (event.seq >= first && messages[at]?.seq !== event.seq) messages.splice(at, 0, sent(event));
        break;
      }
      case 'edited':
        change(event, target, (it) => edited(it, event));
        break;
      case 'deleted':
        change(event, target, (it) => ({ ...it, content: null, deleted: true }));
        break;
      case 'reacted':
        change(event, target, (it) => ({
          ...it,
          reactions: react(it.reactions, body.reaction, event.sender),
        }));
        break;
      case 'unreacted':
        change(event, target, (it) => ({
          ...it,
          reactions: unreact(it.reactions, body.reaction, event.sender),
        }));
        break;
      case 'pinned':
      case 'unpinned':
        change(event, target, (it) => ({ ...it, pinned: body.type === 'pinned' }));
        break;
      case 'trimmed':
        messages.splice(0, position(messages, body.through + 1));
        break;
      case 'erased':
        // An erased edit may have been what its message shows; only the server can tell what is left.
        stale ||= body.seqs.some((seq) => seq >= first && !find(messages, seq));
        for (const seq of body.seqs) change(event, seq, (it) => ({ ...it, content: null, erased: true }));
        break;
      default:
    }
  }
  return { messages, stale };
}

function sent(event: Event): Message {
  const body = event.body as Extract<Event['body'], { type: 'sent' }>;
  return {
    seq: event.seq,
    id: event.id,
    sender: event.sender,
    timeMs: event.timeMs,
    content: body.content,
    replyTo: body.replyTo,
    thread: body.thread,
    editedAtMs: 0,
    deleted: false,
    erased: event.erased,
    reactions: [],
    pinned: false,
    threadReplies: 0,
    messages: event.messages,
    reflects: event.seq,
  };
}

function edited(message: Message, event: Event): Message {
  if (event.body.type !== 'edited') return message;
  const keep = message.deleted || message.erased || event.erased;
  return { ...message, content: keep ? message.content : event.body.content, editedAtMs: event.timeMs };
}

export function react(reactions: readonly Reaction[], reaction: string, user: string): readonly Reaction[] {
  if (!reactions.some((it) => it.reaction === reaction)) {
    return [...reactions, { reaction, users: [user] }].sort((a, b) => byBytes(a.reaction, b.reaction));
  }
  return reactions.map((it) =>
    it.reaction === reaction && !it.users.includes(user) ? { reaction, users: [...it.users, user] } : it,
  );
}

/** The order of the UTF-8 bytes, which is that of the code points; JavaScript's own is that of UTF-16. */
function byBytes(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => Array.from(text, (char) => char.codePointAt(0) ?? 0));
  const at = left?.findIndex((point, index) => point !== right?.[index]) ?? -1;
  return at < 0 ? a.length - b.length : (left?.[at] ?? 0) - (right?.[at] ?? -1);
}

export function unreact(reactions: readonly Reaction[], reaction: string, user: string): readonly Reaction[] {
  return reactions
    .map((it) =>
      it.reaction === reaction ? { reaction, users: it.users.filter((name) => name !== user) } : it,
    )
    .filter((it) => it.users.length > 0);
}
