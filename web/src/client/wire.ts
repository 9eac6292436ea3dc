// From the generated messages to the client's own words.

import { ConversationKind, Role as WireRole } from '../gen/nexus/v1/content_pb';
import type { Content as WireContent, MemberRole as WireMemberRole } from '../gen/nexus/v1/content_pb';
import type { Conversation as WireConversation } from '../gen/nexus/v1/conversation_pb';
import type { Event as WireEvent } from '../gen/nexus/v1/event_pb';
import type { ListMessagesResponse, Message as WireMessage } from '../gen/nexus/v1/history_pb';
import { PresenceStatus as WireStatus } from '../gen/nexus/v1/presence_pb';
import type { Presence as WirePresence } from '../gen/nexus/v1/presence_pb';
import type {
  Body,
  Change,
  Content,
  Event,
  Info,
  Kind,
  MemberRole,
  Message,
  Page,
  Presence,
  PresenceStatus,
  Role,
} from './model';

const kinds: Partial<Record<ConversationKind, Kind>> = {
  [ConversationKind.DIRECT]: 'direct',
  [ConversationKind.CHANNEL]: 'channel',
};

const roles: Partial<Record<WireRole, Role>> = {
  [WireRole.READER]: 'reader',
  [WireRole.ADMIN]: 'admin',
  [WireRole.OWNER]: 'owner',
};

const statuses: Partial<Record<WireStatus, PresenceStatus>> = {
  [WireStatus.ONLINE]: 'online',
  [WireStatus.AWAY]: 'away',
  [WireStatus.BUSY]: 'busy',
};

export const role = (wire: WireRole): Role => roles[wire] ?? 'member';

const memberRole = (wire: WireMemberRole): MemberRole => ({ user: wire.user, role: role(wire.role) });

function content(wire: WireContent | undefined): Content | null {
  if (!wire) return null;
  return {
    text: wire.text,
    mentions: wire.mentions?.users ?? [],
    mentionsEveryone: wire.mentions?.everyone ?? false,
    attachments: wire.attachments.map((file) => file.name || file.uploadId),
    encrypted: wire.encrypted !== undefined,
    forwardedFrom: wire.forwarded?.sender ?? null,
  };
}

function body(wire: WireEvent): Body {
  const { body, erased } = wire;
  switch (body.case) {
    case 'conversationCreated':
      return { type: 'created', title: body.value.title, members: body.value.members.map(memberRole) };
    case 'conversationChanged': {
      const { title, topic } = body.value;
      const change: Change = { ...(title !== undefined && { title }), ...(topic !== undefined && { topic }) };
      return { type: 'changed', change };
    }
    case 'membersAdded':
      return { type: 'added', members: body.value.members.map(memberRole) };
    case 'memberRemoved':
      return { type: 'removed', user: body.value.user };
    case 'roleChanged':
      return { type: 'role', user: body.value.user, role: role(body.value.role) };
    case 'messageSent':
      return {
        type: 'sent',
        content: erased ? null : content(body.value.content),
        replyTo: Number(body.value.replyTo),
        thread: Number(body.value.thread),
      };
    case 'messageEdited':
      return { type: 'edited', content: erased ? null : content(body.value.content) };
    case 'messageDeleted':
      return { type: 'deleted' };
    case 'reactionAdded':
      return { type: 'reacted', reaction: body.value.reaction };
    case 'reactionRemoved':
      return { type: 'unreacted', reaction: body.value.reaction };
    case 'messagePinned':
      return { type: 'pinned' };
    case 'messageUnpinned':
      return { type: 'unpinned' };
    case 'trimmed':
      return { type: 'trimmed', through: Number(body.value.through) };
    case 'erasedEvents':
      return { type: 'erased', seqs: body.value.seqs.map(Number) };
    default:
      return { type: 'unknown' };
  }
}

export function event(wire: WireEvent): Event {
  return {
    seq: Number(wire.seq),
    id: wire.id,
    sender: wire.sender,
    timeMs: Number(wire.timeMs),
    target: Number(wire.target),
    messages: Number(wire.messageCount),
    erased: wire.erased,
    body: body(wire),
  };
}

export function message(wire: WireMessage, reflects: number): Message {
  return {
    seq: Number(wire.seq),
    id: wire.id,
    sender: wire.sender,
    timeMs: Number(wire.timeMs),
    content: content(wire.content),
    replyTo: Number(wire.replyTo),
    thread: Number(wire.thread),
    editedAtMs: Number(wire.editedAtMs),
    deleted: wire.deleted,
    erased: wire.erased,
    reactions: wire.reactions.map(({ reaction, users }) => ({ reaction, users })),
    pinned: wire.pinned,
    threadReplies: wire.threadReplies,
    messages: Number(wire.messageCount),
    reflects,
  };
}

export function page(wire: ListMessagesResponse): Page {
  const reflects = Number(wire.reflects);
  return {
    messages: wire.messages.map((item) => message(item, reflects)),
    first: Number(wire.covered?.first ?? 0n),
    last: Number(wire.covered?.last ?? 0n),
    atStart: wire.covered?.atStart ?? false,
    atEnd: wire.covered?.atEnd ?? false,
    reflects,
  };
}

export function info(wire: WireConversation): Info {
  const messages = Number(wire.messageCount);
  return {
    id: wire.id,
    kind: kinds[wire.kind] ?? 'group',
    title: wire.title,
    topic: wire.topic,
    peer: wire.peer,
    creator: wire.creator,
    createdAtMs: Number(wire.createdAtMs),
    memberCount: wire.memberCount,
    lastSeq: Number(wire.lastSeq),
    messages,
    lastAtMs: Number(wire.lastAtMs),
    role: role(wire.role),
    postRole: role(wire.postRole),
    readSeq: Number(wire.readSeq),
    readMessages: messages - Number(wire.unreadCount),
    reflects: Number(wire.reflects),
  };
}

export function presence(wire: WirePresence): Presence {
  return {
    user: wire.user,
    status: statuses[wire.status] ?? 'offline',
    lastSeenMs: Number(wire.lastSeenAtMs),
  };
}
