import { create } from '@bufbuild/protobuf';
import type { Event } from '../../gen/nexus/v1/event_pb';
import { MessageSchema } from '../../gen/nexus/v1/history_pb';
import type { Message } from '../../gen/nexus/v1/history_pb';

/** All messages of a log as they are now: the server's own fold, written differently from the client's. */
export function foldMessages(events: readonly Event[]): Message[] {
  return events.flatMap((event) => {
    const { body } = event;
    if (body.case !== 'messageSent') return [];
    const about = events.filter(({ target }) => target === event.seq);
    const edits = about.flatMap((it) =>
      it.body.case === 'messageEdited' ? [{ at: it, ...it.body.value }] : [],
    );
    const deleted = about.some((it) => it.body.case === 'messageDeleted');
    const edit = edits.at(-1);
    return create(MessageSchema, {
      seq: event.seq,
      id: event.id,
      sender: event.sender,
      timeMs: event.timeMs,
      content: deleted ? undefined : (edit?.content ?? body.value.content),
      replyTo: body.value.replyTo,
      thread: body.value.thread,
      editedAtMs: edit?.at.timeMs ?? 0n,
      deleted,
      reactions: reactions(about),
      pinned: about.findLast((it) => /pinned/i.test(it.body.case ?? ''))?.body.case === 'messagePinned',
      threadReplies: events.filter(
        (it) => it.body.case === 'messageSent' && it.body.value.thread === event.seq,
      ).length,
      messageCount: event.messageCount,
    });
  });
}

function reactions(about: readonly Event[]): { reaction: string; users: string[] }[] {
  const given = new Map<string, Set<string>>();
  for (const { body, sender } of about) {
    if (body.case === 'reactionAdded') {
      const users = given.get(body.value.reaction) ?? new Set();
      given.set(body.value.reaction, users.add(sender));
    } else if (body.case === 'reactionRemoved') {
      given.get(body.value.reaction)?.delete(sender);
      if (given.get(body.value.reaction)?.size === 0) given.delete(body.value.reaction);
    }
  }
  return [...given]
    .map(([reaction, users]) => ({ reaction, users: [...users] }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.reaction), Buffer.from(b.reaction)));
}
