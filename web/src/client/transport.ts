// The way to the server: gRPC-web in its binary form, with the token and the routing hint on every call.

import { createClient } from '@connectrpc/connect';
import type { Client, Interceptor, Transport } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { AccountService } from '../gen/nexus/v1/account_pb';
import { ConversationService } from '../gen/nexus/v1/conversation_pb';
import { DevelopmentService } from '../gen/nexus/v1/development_pb';
import { HistoryService } from '../gen/nexus/v1/history_pb';
import { InvitationService } from '../gen/nexus/v1/invitation_pb';
import { MarkerService } from '../gen/nexus/v1/marker_pb';
import { MessageService } from '../gen/nexus/v1/message_pb';
import { PresenceService } from '../gen/nexus/v1/presence_pb';
import { StreamService } from '../gen/nexus/v1/stream_pb';

/** How long a call may take, in milliseconds. The stream has no such end; its silence is watched instead. */
export const CALL_TIMEOUT_MS = 10_000;

/** The services of a server. */
export interface Api {
  readonly accounts: Client<typeof AccountService>;
  readonly conversations: Client<typeof ConversationService>;
  readonly development: Client<typeof DevelopmentService>;
  readonly history: Client<typeof HistoryService>;
  readonly invitations: Client<typeof InvitationService>;
  readonly markers: Client<typeof MarkerService>;
  readonly messages: Client<typeof MessageService>;
  readonly presence: Client<typeof PresenceService>;
  readonly stream: Client<typeof StreamService>;
}

export function api(transport: Transport): Api {
  return {
    accounts: createClient(AccountService, transport),
    conversations: createClient(ConversationService, transport),
    development: createClient(DevelopmentService, transport),
    history: createClient(HistoryService, transport),
    invitations: createClient(InvitationService, transport),
    markers: createClient(MarkerService, transport),
    messages: createClient(MessageService, transport),
    presence: createClient(PresenceService, transport),
    stream: createClient(StreamService, transport),
  };
}

const bearer =
  (token: string): Interceptor =>
  (next) =>
  (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };

/** Names the conversation in a header, by which the edge routes; the server goes by the body alone. */
export const routingHint: Interceptor = (next) => (request) => {
  if (!request.stream && 'conversationId' in request.message) {
    request.header.set('nexus-conversation', String(request.message.conversationId));
  }
  return next(request);
};

/** A connection to `baseUrl`, the page's own origin if not given. */
export function connect(token: string | null, baseUrl: string = globalThis.location.origin): Api {
  const interceptors = token === null ? [routingHint] : [bearer(token), routingHint];
  return api(createGrpcWebTransport({ baseUrl, interceptors, defaultTimeoutMs: CALL_TIMEOUT_MS }));
}
