import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { EventSchema } from '../../gen/nexus/v1/event_pb';
import type { Event } from '../../gen/nexus/v1/event_pb';

type Body = NonNullable<MessageInitShape<typeof EventSchema>['body']>;

const users = ['alice', 'bob', 'carol'];
// In UTF-16 the last would come before the one in front of it.
const reactions = ['👍', '🎉', 'ok', '👍🏽', '\uFF01'];

interface Step {
  readonly what: number;
  readonly who: number;
  readonly at: number;
}

/** Any log that a server could hold: messages, and what happens to them. */
export const anyLog: fc.Arbitrary<readonly Event[]> = fc
  .array(fc.record({ what: fc.nat(99), who: fc.nat(2), at: fc.nat(1000) }), { minLength: 1, maxLength: 60 })
  .map(build);

function build(steps: readonly Step[]): readonly Event[] {
  const members = users.map((user) => ({ user }));
  const log: Event[] = [];
  const sent: number[] = [];
  const deleted = new Set<number>();
  const threaded = new Set<number>();
  let count = 0n;
  const append = (sender: string, target: number, body: Body) => {
    if (body.case === 'messageSent') count += 1n;
    log.push(
      create(EventSchema, {
        seq: BigInt(log.length + 1),
        id: `id-${log.length}`,
        sender,
        timeMs: BigInt(1000 + log.length),
        target: BigInt(target),
        messageCount: count,
        body,
      }),
    );
  };
  append('alice', 0, { case: 'conversationCreated', value: { members } });
  for (const { what, who, at } of steps) {
    const user = users[who] ?? '';
    const target = sent[at % Math.max(1, sent.length)];
    if (what < 40 || target === undefined || deleted.has(target)) {
      const root = target !== undefined && !threaded.has(target) ? target : 0;
      const replyTo = BigInt(what % 3 === 0 ? root : 0);
      const thread = BigInt(what % 3 === 1 ? root : 0);
      append(user, 0, { case: 'messageSent', value: { content: { text: `text ${what}` }, replyTo, thread } });
      if (thread) threaded.add(log.length);
      sent.push(log.length);
    } else if (what < 60) {
      append(user, target, { case: 'messageEdited', value: { content: { text: `edit ${at}` } } });
    } else if (what < 68) {
      append(user, target, { case: 'messageDeleted', value: {} });
      deleted.add(target);
    } else if (what < 82) {
      append(user, target, { case: 'reactionAdded', value: { reaction: reactions[at % 5] ?? '' } });
    } else if (what < 92) {
      append(user, target, { case: 'reactionRemoved', value: { reaction: reactions[at % 5] ?? '' } });
    } else if (what < 96) {
      append(user, target, { case: 'messagePinned', value: {} });
    } else {
      append(user, target, { case: 'messageUnpinned', value: {} });
    }
  }
  return log;
}
