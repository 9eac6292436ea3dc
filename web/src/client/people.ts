// Who is here and who types. Nothing of it is kept, and nothing is promised.

import type { Presence, PresenceStatus } from './model';

/** Typing ends by itself after this long; whoever goes on says so every 3 s. */
export const TYPING_EXPIRES_MS = 6_000;
export const TYPING_REPEAT_MS = 3_000;

export class People {
  readonly #presences = new Map<string, Presence>();
  readonly #typing = new Map<string, Map<string, ReturnType<typeof setTimeout>>>();
  readonly #saidTyping = new Map<string, number>();
  readonly #changed: (conversationId: string | null) => void;

  /** `changed` is called with the conversation in which somebody began or ended typing, or null for presence. */
  constructor(changed: (conversationId: string | null) => void) {
    this.#changed = changed;
  }

  /** Undefined when nothing was told of this user. */
  status(user: string): PresenceStatus | undefined {
    return this.#presences.get(user)?.status;
  }

  lastSeenMs(user: string): number {
    return this.#presences.get(user)?.lastSeenMs ?? 0;
  }

  present(presence: Presence): void {
    this.#presences.set(presence.user, presence);
    this.#changed(null);
  }

  typing(conversationId: string): readonly string[] {
    return [...(this.#typing.get(conversationId)?.keys() ?? [])];
  }

  types(conversationId: string, user: string, typing: boolean): void {
    const here = this.#typing.get(conversationId) ?? new Map<string, ReturnType<typeof setTimeout>>();
    this.#typing.set(conversationId, here);
    if (!typing && !here.has(user)) return;
    clearTimeout(here.get(user));
    here.delete(user);
    if (typing)
      here.set(
        user,
        setTimeout(() => this.types(conversationId, user, false), TYPING_EXPIRES_MS),
      );
    this.#changed(conversationId);
  }

  /** The stream is gone: what it said of people is old. */
  forget(): void {
    for (const [conversationId, here] of this.#typing) {
      for (const timer of here.values()) clearTimeout(timer);
      here.clear();
      this.#changed(conversationId);
    }
    this.#saidTyping.clear();
  }

  /** Whether it is time to tell the server that this person types, or has stopped. */
  shouldSay(conversationId: string, typing: boolean): boolean {
    const said = this.#saidTyping.get(conversationId) ?? 0;
    if (!typing) return this.#saidTyping.delete(conversationId);
    if (Date.now() - said < TYPING_REPEAT_MS) return false;
    this.#saidTyping.set(conversationId, Date.now());
    return true;
  }
}
