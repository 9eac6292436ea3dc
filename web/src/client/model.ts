// The words of the client: what the wire says, in plain immutable values. Seqs and times are numbers (a seq
// stays far below 2^53).

export type Kind = 'direct' | 'group' | 'channel';
export type Role = 'reader' | 'member' | 'admin' | 'owner';
export type PresenceStatus = 'offline' | 'online' | 'away' | 'busy';

export interface Content {
  readonly text: string;
  readonly mentions: readonly string[];
  readonly mentionsEveryone: boolean;
  /** Names of the files that are attached. */
  readonly attachments: readonly string[];
  readonly encrypted: boolean;
  readonly forwardedFrom: string | null;
}

export interface Reaction {
  readonly reaction: string;
  readonly users: readonly string[];
}

/** A message as it is now. */
export interface Message {
  readonly seq: number;
  readonly id: string;
  readonly sender: string;
  readonly timeMs: number;
  /** Null when it is deleted or erased. */
  readonly content: Content | null;
  readonly replyTo: number;
  readonly thread: number;
  readonly editedAtMs: number;
  readonly deleted: boolean;
  readonly erased: boolean;
  readonly reactions: readonly Reaction[];
  readonly pinned: boolean;
  readonly threadReplies: number;
  /** Running count of messages in the conversation, this one included. */
  readonly messages: number;
  /** The seq up to which this is true; only later events may be applied to it. */
  readonly reflects: number;
}

export interface MemberRole {
  readonly user: string;
  readonly role: Role;
}

export interface Change {
  readonly title?: string;
  readonly topic?: string;
}

export type Body =
  | { readonly type: 'created'; readonly title: string; readonly members: readonly MemberRole[] }
  | { readonly type: 'changed'; readonly change: Change }
  | { readonly type: 'added'; readonly members: readonly MemberRole[] }
  | { readonly type: 'removed'; readonly user: string }
  | { readonly type: 'role'; readonly user: string; readonly role: Role }
  | {
      readonly type: 'sent';
      readonly content: Content | null;
      readonly replyTo: number;
      readonly thread: number;
    }
  | { readonly type: 'edited'; readonly content: Content | null }
  | { readonly type: 'deleted' }
  | { readonly type: 'reacted'; readonly reaction: string }
  | { readonly type: 'unreacted'; readonly reaction: string }
  | { readonly type: 'pinned' }
  | { readonly type: 'unpinned' }
  | { readonly type: 'trimmed'; readonly through: number }
  | { readonly type: 'erased'; readonly seqs: readonly number[] }
  /** A kind that this client doesn't know yet. It counts, and changes nothing. */
  | { readonly type: 'unknown' };

/** One entry of a conversation's log. */
export interface Event {
  readonly seq: number;
  readonly id: string;
  readonly sender: string;
  readonly timeMs: number;
  readonly target: number;
  readonly messages: number;
  readonly erased: boolean;
  readonly body: Body;
}

/** A page of messages. */
export interface Page {
  readonly messages: readonly Message[];
  /** First and last seq of which everything is in the page. */
  readonly first: number;
  readonly last: number;
  readonly atStart: boolean;
  readonly atEnd: boolean;
  readonly reflects: number;
}

/** A conversation as this user sees it. */
export interface Info {
  readonly id: string;
  readonly kind: Kind;
  readonly title: string;
  readonly topic: string;
  readonly peer: string;
  readonly creator: string;
  readonly createdAtMs: number;
  readonly memberCount: number;
  readonly lastSeq: number;
  readonly messages: number;
  readonly lastAtMs: number;
  readonly role: Role;
  readonly postRole: Role;
  readonly readSeq: number;
  /** How many of `messages` are read: unread is the difference. */
  readonly readMessages: number;
  /** The seq up to which all this is true. */
  readonly reflects: number;
}

export interface Member {
  readonly user: string;
  readonly role: Role;
}

/** How far somebody has read. */
export interface Marker {
  readonly user: string;
  readonly readSeq: number;
}

export interface Presence {
  readonly user: string;
  readonly status: PresenceStatus;
  readonly lastSeenMs: number;
}

/** What a person wants done to a conversation. Each has one client-made id, however often it is sent. */
export type Operation =
  | {
      readonly type: 'send';
      readonly text: string;
      readonly mentions: readonly string[];
      readonly replyTo: number;
    }
  | {
      readonly type: 'edit';
      readonly seq: number;
      readonly text: string;
      readonly mentions: readonly string[];
    }
  | { readonly type: 'delete'; readonly seq: number }
  | { readonly type: 'react'; readonly seq: number; readonly reaction: string }
  | { readonly type: 'unreact'; readonly seq: number; readonly reaction: string };

export const roleRank: Readonly<Record<Role, number>> = { reader: 1, member: 2, admin: 3, owner: 4 };
