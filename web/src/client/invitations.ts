// Inviting people into a conversation, and what one is invited to oneself.

import type { InvitationPreview } from '../gen/nexus/v1/invitation_pb';
import type { Api } from './transport';

/** An invitation, as one sees it who has not joined. */
export interface Invitation {
  readonly conversationId: string;
  /** Its place in the conversation's log, which names it. */
  readonly seq: number;
  readonly title: string;
  readonly topic: string;
  readonly memberCount: number;
  readonly inviter: string;
  readonly note: string;
  /** One is in there already. */
  readonly member: boolean;
}

/** What a link's maker has to keep until it was made: made once, also when it is asked for again. */
export interface NewLink {
  readonly clientId: string;
  readonly secret: Uint8Array<ArrayBuffer>;
}

const SHOWN = 50;

const invitation = (wire: InvitationPreview): Invitation => ({
  conversationId: wire.conversationId,
  seq: Number(wire.seq),
  title: wire.title,
  topic: wire.topic,
  memberCount: wire.memberCount,
  inviter: wire.inviter,
  note: wire.note,
  member: wire.member,
});

const named = ({ conversationId, seq }: Invitation) => ({
  by: { case: 'named' as const, value: { conversationId, seq: BigInt(seq) } },
});

const linked = (token: string) => ({ by: { case: 'token' as const, value: token } });

export class Invitations {
  #received: readonly Invitation[] = [];
  readonly #api: Api;
  readonly #newId: () => string;
  readonly #changed: () => void;

  /** `changed` is called when others were received. */
  constructor(api: Api, newId: () => string, changed: () => void) {
    this.#api = api;
    this.#newId = newId;
    this.#changed = changed;
  }

  /** Those that name the user and wait for an answer, newest first. */
  get received(): readonly Invitation[] {
    return this.#received;
  }

  async refresh(): Promise<void> {
    try {
      const { invitations } = await this.#api.invitations.listReceivedInvitations({ pageSize: SHOWN });
      this.#received = invitations.map(invitation);
      this.#changed();
    } catch {
      // The next stream asks again.
    }
  }

  /** What a link is to. */
  async preview(token: string): Promise<Invitation> {
    const answer = await this.#api.invitations.getInvitation({ invitation: linked(token) });
    if (!answer.invitation) throw new Error('the server left the invitation out');
    return invitation(answer.invitation);
  }

  /** Joins by a link, or by an invitation that names the user. Answers with the conversation, and where one joined. */
  async accept(by: string | Invitation): Promise<{ readonly id: string; readonly seq: number }> {
    const reference = typeof by === 'string' ? linked(by) : named(by);
    const clientId = this.#newId();
    const answer = await this.#api.invitations.acceptInvitation({ invitation: reference, clientId });
    void this.refresh();
    return { id: answer.conversationId, seq: Number(answer.receipt?.seq ?? 0n) };
  }

  async decline({ conversationId, seq }: Invitation): Promise<void> {
    const clientId = this.#newId();
    await this.#api.invitations.declineInvitation({ conversationId, seq: BigInt(seq), clientId });
    await this.refresh();
  }

  newLink(): NewLink {
    return { clientId: this.#newId(), secret: crypto.getRandomValues(new Uint8Array(32)) };
  }

  /** Makes a link by which anybody may join, until it expires. Answers with its token. */
  async link(conversationId: string, link: NewLink, expiresAtMs: number): Promise<string> {
    const answer = await this.#api.invitations.createInvitation({
      conversationId,
      ...link,
      expiresAtMs: BigInt(expiresAtMs),
    });
    return answer.token;
  }
}
