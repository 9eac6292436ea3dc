// Who is logged in, in this tab.

import { connect } from './transport';

export interface Session {
  readonly user: string;
  readonly tenant: string;
  readonly device: string;
  readonly token: string;
}

/** Browsers that block a page's storage throw at its mere mention; nothing is kept there then. */
export function kept(kind: 'localStorage' | 'sessionStorage'): globalThis.Storage | null {
  try {
    return window[kind];
  } catch {
    return null;
  }
}

const SESSION = 'nexus.session';
const TENANT = 'default';
const deviceKey = (user: string) => `nexus.device.${TENANT}.${user}`;

/** The names that the server takes. */
export const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** Logs in by name alone; only servers in development mode allow it. */
export async function logIn(user: string): Promise<Session> {
  // A user is the same device in this browser each time, and finds again what was kept and not yet sent.
  const device = kept('localStorage')?.getItem(deviceKey(user)) ?? `web-${crypto.randomUUID()}`;
  const { token } = await connect(null).development.createToken({ user, tenant: TENANT, device });
  kept('localStorage')?.setItem(deviceKey(user), device);
  const session = { user, tenant: TENANT, device, token };
  kept('sessionStorage')?.setItem(SESSION, JSON.stringify(session));
  return session;
}

export function restoreSession(): Session | null {
  try {
    return JSON.parse(kept('sessionStorage')?.getItem(SESSION) ?? 'null') as Session | null;
  } catch {
    return null;
  }
}

export function forgetSession(): void {
  kept('sessionStorage')?.removeItem(SESSION);
}
