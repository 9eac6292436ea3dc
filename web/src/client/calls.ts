// The calls of the API in the client's own words.

import { ConversationKind, Visibility } from '../gen/nexus/v1/content_pb';
import type { Info, Kind, Marker, Member, Page, Presence } from './model';
import type { Entry } from './storage';
import type { Api } from './transport';
import * as wire from './wire';

/** Messages per page. */
export const PAGE = 50;
const LARGEST_PAGE = 200;

interface Options {
  readonly signal?: AbortSignal;
}

const content = (text: string, mentions: readonly string[]) => ({
  text,
  ...(mentions.length > 0 && { mentions: { users: [...mentions] } }),
});

/** Sends an operation under its id; the same id however often. Answers with the seq of its event. */
export async function transmit(api: Api, entry: Entry & { clientId: string }): Promise<number> {
  const { operation } = entry;
  const ids = { conversationId: entry.conversationId, clientId: entry.clientId };
  const { messages } = api;
  const call = async () => {
    switch (operation.type) {
      case 'send':
        return messages.sendMessage({
          ...ids,
          content: content(operation.text, operation.mentions),
          replyTo: BigInt(operation.replyTo),
        });
      case 'edit':
        return messages.editMessage({
          ...ids,
          seq: BigInt(operation.seq),
          content: content(operation.text, operation.mentions),
        });
      case 'delete':
        return messages.deleteMessage({ ...ids, seq: BigInt(operation.seq) });
      case 'react':
        return messages.addReaction({ ...ids, seq: BigInt(operation.seq), reaction: operation.reaction });
      case 'unreact':
        return messages.removeReaction({ ...ids, seq: BigInt(operation.seq), reaction: operation.reaction });
    }
  };
  const { receipt } = await call();
  return Number(receipt?.seq ?? 0n);
}

/** The newest messages, with at least `atLeast` reflected. */
export async function newestPage(api: Api, id: string, atLeast: number, options: Options): Promise<Page> {
  const request = { conversationId: id, limit: PAGE, atLeast: BigInt(atLeast) };
  return wire.page(await api.history.listMessages(request, options));
}

export async function olderPage(
  api: Api,
  id: string,
  { before, atLeast }: { before: number; atLeast: number },
): Promise<Page> {
  return wire.page(
    await api.history.listMessages({
      conversationId: id,
      anchor: { case: 'beforeSeq', value: BigInt(before) },
      limit: PAGE,
      atLeast: BigInt(atLeast),
    }),
  );
}

export async function conversation(api: Api, id: string, atLeast: number, options: Options): Promise<Info> {
  const answer = await api.conversations.getConversation(
    { conversationId: id, atLeast: BigInt(atLeast) },
    options,
  );
  if (!answer.conversation) throw new Error('the server left the conversation out');
  return wire.info(answer.conversation);
}

/** All conversations of the user. */
export async function conversations(api: Api, options: Options): Promise<Info[]> {
  const all: Info[] = [];
  let pageToken = '';
  do {
    const answer = await api.conversations.listConversations({ pageSize: LARGEST_PAGE, pageToken }, options);
    all.push(...answer.conversations.map(wire.info));
    pageToken = answer.nextPageToken;
  } while (pageToken);
  return all;
}

/** The first members by name, and the seq that this reflects. */
export async function members(
  api: Api,
  id: string,
  atLeast: number,
): Promise<{ members: Member[]; reflects: number }> {
  const answer = await api.conversations.listMembers({
    conversationId: id,
    pageSize: LARGEST_PAGE,
    atLeast: BigInt(atLeast),
  });
  return {
    members: answer.members.map((it) => ({ user: it.user, role: wire.role(it.role) })),
    reflects: Number(answer.reflects),
  };
}

export async function markers(api: Api, id: string): Promise<Marker[]> {
  const answer = await api.markers.listMarkers({ conversationId: id });
  return answer.markers.map((it) => ({ user: it.user, readSeq: Number(it.readSeq) }));
}

export async function markRead(api: Api, id: string, seq: number): Promise<void> {
  await api.markers.setReadMarker({ conversationId: id, seq: BigInt(seq) });
}

export async function presences(api: Api, users: readonly string[]): Promise<Presence[]> {
  const answer = await api.presence.getPresence({ users: users.slice(0, LARGEST_PAGE) });
  return answer.presences.map(wire.presence);
}

/** The names to show of those who have one. */
export async function names(api: Api, users: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { profiles } = await api.accounts.getProfiles({ users: [...users] });
  return new Map(profiles.filter((it) => it.displayName).map((it) => [it.user, it.displayName]));
}

/** Says how one wants to be shown; empty: by one's id. Answers with the name as it is kept. */
export async function rename(api: Api, displayName: string): Promise<string> {
  const { profile } = await api.accounts.updateProfile({ displayName });
  return profile?.displayName ?? displayName;
}

export async function openDirect(api: Api, user: string): Promise<Info> {
  const { conversation } = await api.conversations.getOrCreateDirect({ user });
  if (!conversation) throw new Error('the server left the conversation out');
  return wire.info(conversation);
}

export async function create(
  api: Api,
  clientId: string,
  kind: Exclude<Kind, 'direct'>,
  title: string,
  users: readonly string[],
): Promise<Info> {
  const { conversation } = await api.conversations.createConversation({
    clientId,
    kind: kind === 'group' ? ConversationKind.GROUP : ConversationKind.CHANNEL,
    visibility: kind === 'channel' ? Visibility.PUBLIC : Visibility.PRIVATE,
    title,
    members: users.map((user) => ({ user })),
  });
  if (!conversation) throw new Error('the server left the conversation out');
  return wire.info(conversation);
}

export async function addMembers(
  api: Api,
  id: string,
  clientId: string,
  users: readonly string[],
): Promise<void> {
  await api.conversations.addMembers({ conversationId: id, clientId, users: [...users] });
}
