import { createContext, use, useCallback, useEffect, useState, useSyncExternalStore } from 'react';
import type { NexusClient, State } from '../client/client';
import type { View } from '../client/conversation';
import type { Info } from '../client/model';
import { names } from './format';

export const ClientContext = createContext<NexusClient | null>(null);

export function useClient(): NexusClient {
  const client = use(ClientContext);
  if (!client) throw new Error('no client here');
  return client;
}

export function useNexus(): State {
  const client = useClient();
  return useSyncExternalStore(client.subscribe, client.state);
}

export function useView(id: string): View | null {
  const client = useClient();
  const snapshot = useCallback(() => client.view(id), [client, id]);
  return useSyncExternalStore(client.subscribe, snapshot);
}

const HASH = '#/c/';

function idInHash(): string | null {
  const { hash } = window.location;
  return hash.startsWith(HASH) ? decodeURIComponent(hash.slice(HASH.length)) : null;
}

const JOIN = '#/join/';

function tokenInHash(): string | null {
  const { hash } = window.location;
  return hash.startsWith(JOIN) ? decodeURIComponent(hash.slice(JOIN.length)) : null;
}

/** The link by which somebody came, if they came by one. */
export function useLink(): string | null {
  return useSyncExternalStore((changed) => {
    window.addEventListener('hashchange', changed);
    return () => window.removeEventListener('hashchange', changed);
  }, tokenInHash);
}

/** The open conversation, kept in the address, so that "back" works on a phone. */
export function useOpenConversation(): [string | null, (id: string | null) => void] {
  const [id, setId] = useState(idInHash);
  useEffect(() => {
    const follow = () => setId(idInHash());
    window.addEventListener('hashchange', follow);
    return () => window.removeEventListener('hashchange', follow);
  }, []);
  const open = useCallback((next: string | null) => {
    window.location.hash = next === null ? '#/' : HASH + encodeURIComponent(next);
  }, []);
  return [id, open];
}

/** How somebody wants to be shown. */
export function useName(user: string): string {
  const client = useClient();
  useEffect(() => client.wantName(user), [client, user]);
  return useSyncExternalStore(client.subscribe, () => client.nameOf(user));
}

/** The same of several: "Ann, bob and 3 others". */
export function useNames(users: readonly string[]): string {
  const client = useClient();
  useEffect(() => users.forEach((user) => client.wantName(user)), [client, users]);
  return useSyncExternalStore(client.subscribe, () => names(users.map((user) => client.nameOf(user))));
}

/** What a conversation is called: a direct one by who the other is. */
export function useTitle(info: Info | null): string {
  const name = useName(info?.peer ?? '');
  return info?.kind === 'direct' ? name : (info?.title ?? '');
}

/** Whether somebody is looking. */
export function useAttention(): boolean {
  const [attentive, setAttentive] = useState(() => document.hasFocus());
  useEffect(() => {
    const follow = () => setAttentive(document.visibilityState === 'visible' && document.hasFocus());
    const events = ['focus', 'blur', 'visibilitychange'] as const;
    for (const event of events) window.addEventListener(event, follow, true);
    return () => {
      for (const event of events) window.removeEventListener(event, follow, true);
    };
  }, []);
  return attentive;
}

/** The time, as often as that; null: it stands still. */
export function useNow(everyMs: number | null): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (everyMs === null) return;
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
