// A small Nexus in memory, for tests: real calls through a real router, with the faults that a network has.

import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import { AccountService } from '../../gen/nexus/v1/account_pb';
import { ConversationKind, Role } from '../../gen/nexus/v1/content_pb';
import type { ReceiptSchema } from '../../gen/nexus/v1/content_pb';
import { ConversationService } from '../../gen/nexus/v1/conversation_pb';
import { DevelopmentService } from '../../gen/nexus/v1/development_pb';
import { EventSchema } from '../../gen/nexus/v1/event_pb';
import type { Event } from '../../gen/nexus/v1/event_pb';
import { HistoryService } from '../../gen/nexus/v1/history_pb';
import { InvitationService } from '../../gen/nexus/v1/invitation_pb';
import { MarkerService } from '../../gen/nexus/v1/marker_pb';
import { MessageService } from '../../gen/nexus/v1/message_pb';
import { PresenceService } from '../../gen/nexus/v1/presence_pb';
import { AttachResponseSchema, ResetReason, StreamService } from '../../gen/nexus/v1/stream_pb';
import type { InvitationReference } from '../../gen/nexus/v1/invitation_pb';
import type { AttachResponse } from '../../gen/nexus/v1/stream_pb';
import { foldMessages } from './history';
import { Queue } from './queue';

type Body = NonNullable<MessageInitShape<typeof EventSchema>['body']>;
type Frame = NonNullable<MessageInitShape<typeof AttachResponseSchema>['frame']>;

interface Log {
  readonly id: string;
  readonly kind: ConversationKind;
  readonly title: string;
  readonly createdAt: number;
  readonly members: Map<string, Role>;
  readonly events: Event[];
  readonly ids: Map<string, MessageInitShape<typeof ReceiptSchema>>;
  readonly read: Map<string, number>;
}

interface Stream {
  readonly user: string;
  readonly queue: Queue<AttachResponse>;
}

export class ModelServer {
  /** Longest gap that is pushed; above it: Reset. */
  pushed = 1000;
  /** Called before a mutation (`before`) and after it was committed, before it is answered (`after`). */
  fault: ((when: 'before' | 'after') => void) | null = null;
  readonly logs = new Map<string, Log>();
  /** Every client id that arrived, in order. */
  readonly received: string[] = [];
  /** The cursors of each Attach. */
  readonly attached: (readonly [string, number][])[] = [];
  /** Who waits for whose answer: by user, the conversations that they are invited to. */
  readonly invited = new Map<string, string[]>();
  /** Tokens of links, each with its conversation. */
  readonly links = new Map<string, string>();
  /** How people want to be shown. */
  readonly names = new Map<string, string>();
  /** The users of each GetProfiles. */
  readonly asked: (readonly string[])[] = [];
  readonly #streams = new Set<Stream>();
  #time = 1_750_000_000_000;

  /** The time of this server; it moves on by itself a little. */
  now(): number {
    return (this.#time += 7);
  }

  open(id: string, kind: ConversationKind, title: string, users: readonly string[]): Log {
    const log: Log = {
      id,
      kind,
      title,
      createdAt: this.now(),
      members: new Map(users.map((user) => [user, Role.MEMBER])),
      events: [],
      ids: new Map(),
      read: new Map(),
    };
    this.logs.set(id, log);
    const members = users.map((user) => ({ user, role: Role.MEMBER }));
    const value = { kind, title, members };
    this.append(log, users[0] ?? '', '', 0, { case: 'conversationCreated', value });
    return log;
  }

  say(id: string, user: string, text: string): Event {
    const value = { content: { text } };
    return this.append(this.log(id), user, crypto.randomUUID(), 0, { case: 'messageSent', value });
  }

  log(id: string): Log {
    const log = this.logs.get(id);
    if (!log) throw new ConnectError('no such conversation', Code.NotFound);
    return log;
  }

  append(log: Log, sender: string, id: string, target: number, body: Body): Event {
    const before = log.events.at(-1);
    const event = create(EventSchema, {
      seq: (before?.seq ?? 0n) + 1n,
      id,
      sender,
      timeMs: BigInt(this.now()),
      target: BigInt(target),
      messageCount: (before?.messageCount ?? 0n) + (body.case === 'messageSent' ? 1n : 0n),
      body,
    });
    log.events.push(event);
    const frame = create(AttachResponseSchema, {
      frame: { case: 'events', value: { conversationId: log.id, events: [event] } },
    });
    for (const stream of this.#streams) if (log.members.has(stream.user)) stream.queue.push(frame);
    return event;
  }

  /** Breaks every stream, as a dying server does. */
  breakStreams(): void {
    for (const { queue } of this.#streams) queue.fail(new ConnectError('gone', Code.Unavailable));
    this.#streams.clear();
  }

  /** Says something to every stream, whatever it is. */
  push(frame: Frame): void {
    for (const { queue } of this.#streams) queue.push(create(AttachResponseSchema, { frame }));
  }

  get streams(): number {
    return this.#streams.size;
  }

  readonly routes = (router: ConnectRouter): void => {
    router.service(DevelopmentService, { createToken: ({ user }) => ({ token: user }) });
    router.service(StreamService, { attach: (request, context) => this.#attach(request, context) });
    router.service(AccountService, {
      getProfiles: ({ users }) => {
        this.asked.push([...users]);
        const named = users.filter((it) => this.names.has(it));
        return { profiles: named.map((it) => ({ user: it, displayName: this.names.get(it) ?? '' })) };
      },
      updateProfile: ({ displayName = '' }, context) => {
        this.names.set(user(context), displayName);
        return { profile: { user: user(context), displayName } };
      },
    });
    router.service(InvitationService, {
      createInvitation: ({ conversationId, secret, clientId }, context) => {
        const token = `${clientId}-${secret.length}`;
        this.links.set(token, conversationId);
        const log = this.log(conversationId);
        const value = { role: Role.MEMBER };
        const { seq } = this.append(log, user(context), clientId, 0, { case: 'invitationCreated', value });
        return { receipt: { seq }, token };
      },
      getInvitation: ({ invitation }) => {
        const log = this.log(this.#invitedTo(invitation?.by));
        return { invitation: { conversationId: log.id, title: log.title, memberCount: log.members.size } };
      },
      listReceivedInvitations: (_, context) => ({
        invitations: (this.invited.get(user(context)) ?? []).map((id) => ({
          conversationId: id,
          seq: 1n,
          title: this.log(id).title,
          inviter: 'alice',
        })),
      }),
      acceptInvitation: ({ invitation, clientId }, context) => {
        const log = this.log(this.#invitedTo(invitation?.by));
        const me = user(context);
        this.invited.delete(me);
        log.members.set(me, Role.MEMBER);
        const value = { members: [{ user: me, role: Role.MEMBER }] };
        const { seq } = this.append(log, me, clientId, 1, { case: 'membersAdded', value });
        return { conversationId: log.id, receipt: { seq } };
      },
      declineInvitation: (_, context) => {
        this.invited.delete(user(context));
        return {};
      },
    });
    router.service(PresenceService, { setTyping: () => ({}), getPresence: () => ({ presences: [] }) });
    router.service(MarkerService, {
      setReadMarker: ({ conversationId, seq }, context) => {
        this.log(conversationId).read.set(user(context), Number(seq));
        return { readSeq: seq };
      },
      listMarkers: () => ({ markers: [] }),
    });
    router.service(ConversationService, {
      listConversations: (_, context) => ({
        conversations: [...this.logs.values()]
          .filter(({ members }) => members.has(user(context)))
          .map((log) => describe(log, user(context))),
      }),
      getConversation: ({ conversationId }, context) => ({
        conversation: describe(this.log(conversationId), user(context)),
      }),
      listMembers: ({ conversationId }) => {
        const log = this.log(conversationId);
        const members = [...log.members].map(([user, role]) => ({ user, role }));
        return { members, reflects: BigInt(log.events.length) };
      },
    });
    router.service(HistoryService, {
      listMessages: ({ conversationId, anchor, limit }) => {
        const { events } = this.log(conversationId);
        const end = events.length;
        const high = anchor.case === 'beforeSeq' ? Math.min(end, Number(anchor.value) - 1) : end;
        const below = foldMessages(events).filter(({ seq }) => seq <= high);
        const page = below.slice(-(limit || 50));
        const whole = page.length === below.length;
        return {
          messages: page,
          covered: {
            first: whole ? 1n : (page[0]?.seq ?? 1n),
            last: BigInt(high),
            atStart: whole,
            atEnd: high === end,
          },
          reflects: BigInt(end),
        };
      },
    });
    router.service(MessageService, {
      sendMessage: ({ content, replyTo, ...ids }, context) =>
        this.#mutate(context, { ...ids, seq: 0n }, { case: 'messageSent', value: { content, replyTo } }),
      editMessage: ({ content, ...ids }, context) =>
        this.#mutate(context, ids, { case: 'messageEdited', value: { content } }),
      deleteMessage: (ids, context) => this.#mutate(context, ids, { case: 'messageDeleted', value: {} }),
      addReaction: ({ reaction, ...ids }, context) =>
        this.#mutate(context, ids, { case: 'reactionAdded', value: { reaction } }),
      removeReaction: ({ reaction, ...ids }, context) =>
        this.#mutate(context, ids, { case: 'reactionRemoved', value: { reaction } }),
    });
  };

  #invitedTo(by: InvitationReference['by'] | undefined): string {
    const id = by?.case === 'named' ? by.value.conversationId : this.links.get(by?.value ?? '');
    if (id === undefined) throw new ConnectError('no such invitation', Code.NotFound);
    return id;
  }

  #mutate(
    context: HandlerContext,
    { conversationId, clientId, seq }: { conversationId: string; clientId: string; seq: bigint },
    body: Body,
  ): { receipt: MessageInitShape<typeof ReceiptSchema> } {
    this.received.push(clientId);
    this.fault?.('before');
    const log = this.log(conversationId);
    const key = `${user(context)}/${clientId}`;
    let receipt = log.ids.get(key);
    if (!receipt) {
      const event = this.append(log, user(context), clientId, Number(seq), body);
      receipt = { seq: event.seq, timeMs: event.timeMs };
      log.ids.set(key, receipt);
    }
    this.fault?.('after');
    return { receipt };
  }

  async *#attach(
    { cursors }: { cursors: readonly { conversationId: string; seq: bigint }[] },
    context: HandlerContext,
  ): AsyncGenerator<AttachResponse> {
    const stream: Stream = { user: user(context), queue: new Queue() };
    const say = (frame: Frame) => stream.queue.push(create(AttachResponseSchema, { frame }));
    say({ case: 'attached', value: { streamId: 's', timeMs: BigInt(this.now()), user: stream.user } });
    const has = new Map(cursors.map(({ conversationId, seq }) => [conversationId, Number(seq)]));
    this.attached.push([...has]);
    for (const log of this.logs.values()) {
      if (!log.members.has(stream.user)) continue;
      const seq = has.get(log.id);
      const last = log.events.length;
      const reset = (reason: ResetReason, from: number) =>
        say({
          case: 'reset',
          value: { conversationId: log.id, reason, first: BigInt(from), last: BigInt(last) },
        });
      if (seq === undefined) reset(ResetReason.NO_CURSOR, 1);
      else if (seq > last) reset(ResetReason.AHEAD, 1);
      else if (last - seq > this.pushed) reset(ResetReason.TOO_LONG, seq + 1);
      else if (seq < last)
        say({ case: 'events', value: { conversationId: log.id, events: log.events.slice(seq) } });
    }
    say({ case: 'caughtUp', value: { conversations: has.size } });
    this.#streams.add(stream);
    context.signal.addEventListener('abort', () => stream.queue.end());
    try {
      yield* stream.queue;
    } finally {
      this.#streams.delete(stream);
    }
  }
}

/** The token of this server is the user's name. */
function user(context: HandlerContext): string {
  return context.requestHeader.get('authorization')?.replace('Bearer ', '') ?? '';
}

function describe(log: Log, me: string) {
  const last = log.events.at(-1);
  const direct = log.kind === ConversationKind.DIRECT;
  const peer = direct ? [...log.members.keys()].find((it) => it !== me) : undefined;
  const read = log.read.get(me) ?? 0;
  const readCount = log.events[read - 1]?.messageCount ?? 0n;
  return {
    id: log.id,
    kind: log.kind,
    title: log.title,
    peer: peer ?? '',
    createdAtMs: BigInt(log.createdAt),
    memberCount: log.members.size,
    lastSeq: BigInt(log.events.length),
    messageCount: last?.messageCount ?? 0n,
    lastAtMs: last?.timeMs ?? 0n,
    role: log.members.get(me) ?? Role.UNSPECIFIED,
    readSeq: BigInt(read),
    unreadCount: (last?.messageCount ?? 0n) - readCount,
    reflects: BigInt(log.events.length),
  };
}
