// What a person sees: the folded messages, and over them what is still on its way.

import { react, unreact } from './fold';
import type { Message } from './model';
import type { Entry } from './storage';

export interface Pending {
  readonly key: string;
  /** Why it was refused; null while it is on its way. */
  readonly refusal: string | null;
  readonly final: boolean;
}

export interface Shown extends Message {
  /** A name that stays the same from the first key stroke on. */
  readonly key: string;
  /** Set while the message itself is not in the log yet; its seq is 0 then. */
  readonly pending: Pending | null;
  /** A change to it is on its way. */
  readonly changing: boolean;
}

/** The same message is the same object each time, so that a page draws again only what changed. */
const unchanged = new WeakMap<Message, Shown>();

function show(message: Message): Shown {
  let shown = unchanged.get(message);
  if (!shown) {
    shown = { ...message, key: message.id || String(message.seq), pending: null, changing: false };
    unchanged.set(message, shown);
  }
  return shown;
}

export function overlay(
  messages: readonly Message[],
  entries: readonly Entry[],
  me: string,
): readonly Shown[] {
  const shown = messages.map(show);
  for (const entry of entries) {
    const { operation } = entry;
    if (operation.type === 'send') {
      const arrived =
        entry.clientId !== null && messages.some((it) => it.id === entry.clientId && it.sender === me);
      if (!arrived) shown.push(sending(entry, me));
      continue;
    }
    if (entry.refusal !== null) continue;
    const at = shown.findIndex((it) => it.seq === operation.seq && !it.pending);
    const message = shown[at];
    if (message) shown[at] = { ...message, ...change(message, entry, me), changing: true };
  }
  return shown;
}

function change(message: Message, { operation }: Entry, me: string): Partial<Message> {
  switch (operation.type) {
    case 'edit':
      return message.content
        ? { content: { ...message.content, text: operation.text }, editedAtMs: message.editedAtMs || 1 }
        : {};
    case 'delete':
      return { content: null, deleted: true };
    case 'react':
      return { reactions: react(message.reactions, operation.reaction, me) };
    case 'unreact':
      return { reactions: unreact(message.reactions, operation.reaction, me) };
    case 'send':
      return {};
  }
}

function sending(entry: Entry, me: string): Shown {
  const operation = entry.operation as Extract<Entry['operation'], { type: 'send' }>;
  return {
    seq: 0,
    id: entry.clientId ?? '',
    sender: me,
    timeMs: entry.createdAtMs,
    content: {
      text: operation.text,
      mentions: operation.mentions,
      mentionsEveryone: false,
      attachments: [],
      encrypted: false,
      forwardedFrom: null,
    },
    replyTo: operation.replyTo,
    thread: 0,
    editedAtMs: 0,
    deleted: false,
    erased: false,
    reactions: [],
    pinned: false,
    threadReplies: 0,
    messages: 0,
    reflects: 0,
    key: entry.clientId ?? entry.key,
    pending: { key: entry.key, refusal: entry.refusal, final: entry.final },
    changing: false,
  };
}
