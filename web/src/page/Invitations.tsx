import { useEffect, useRef, useState } from 'react';
import type { SubmitEvent } from 'react';
import { explain } from '../client/errors';
import type { Invitation, NewLink } from '../client/invitations';
import { useClient, useName, useNexus } from './hooks';
import { CloseIcon } from './icons';

/** How long a link lets people in. */
const LINK_DAYS = 7;
const DAY_MS = 86_400_000;

/** What one is invited to by name. */
export function Received({ onOpen }: { readonly onOpen: (id: string) => void }) {
  const { invitations } = useNexus();
  return invitations.length === 0 ? null : (
    <ul className="invitations" aria-label="Invitations">
      {invitations.map((it) => (
        <ReceivedRow key={`${it.conversationId} ${it.seq}`} invitation={it} onOpen={onOpen} />
      ))}
    </ul>
  );
}

interface RowProps {
  readonly invitation: Invitation;
  readonly onOpen: (id: string) => void;
}

function ReceivedRow({ invitation, onOpen }: RowProps) {
  const client = useClient();
  const inviter = useName(invitation.inviter);
  const [error, setError] = useState<string | null>(null);
  const failed = (cause: unknown) => setError(explain(cause));
  return (
    <li>
      <p>
        <b>{inviter}</b> invites you to <b>{invitation.title}</b>
      </p>
      {invitation.note && <p className="hint">{invitation.note}</p>}
      <div className="choices">
        <button className="button primary" onClick={() => void client.join(invitation).then(onOpen, failed)}>
          Join
        </button>
        <button className="button" onClick={() => void client.invitations.decline(invitation).catch(failed)}>
          Decline
        </button>
      </div>
      {error && (
        <p className="hint error" role="alert">
          {error}
        </p>
      )}
    </li>
  );
}

interface JoinProps {
  readonly token: string;
  readonly onClose: () => void;
  readonly onOpen: (id: string) => void;
}

/** Where a link leads. */
export function Join({ token, onClose, onOpen }: JoinProps) {
  const client = useClient();
  const dialog = useRef<HTMLDialogElement>(null);
  const [invitation, setInvitation] = useState<Invitation | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const inviter = useName(invitation?.inviter ?? '');

  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    client.invitations.preview(token).then(setInvitation, (cause: unknown) => setError(explain(cause)));
  }, [client, token]);

  const join = (event: SubmitEvent) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    client
      .join(token)
      .then(onOpen)
      .catch((cause: unknown) => setError(explain(cause)))
      .finally(() => setBusy(false));
  };

  return (
    <dialog ref={dialog} className="dialog" onClose={onClose} aria-labelledby="join-title">
      <form onSubmit={join}>
        <header>
          <h2 id="join-title">{invitation ? invitation.title : 'Invitation'}</h2>
          <button type="button" className="button icon-button" onClick={onClose} title="Close">
            <CloseIcon />
            <span className="visually-hidden">Close</span>
          </button>
        </header>
        {invitation?.topic && <p>{invitation.topic}</p>}
        {invitation && (
          <p className="hint">
            {inviter} invites you. {invitation.memberCount}{' '}
            {invitation.memberCount === 1 ? 'member' : 'members'} so far.
          </p>
        )}
        {error && (
          <p className="hint error" role="alert">
            {error}
          </p>
        )}
        {invitation && (
          <button className="button primary wide" disabled={busy} autoFocus>
            {invitation.member ? 'Open' : 'Join'}
          </button>
        )}
      </form>
    </dialog>
  );
}

/** Makes a link to a conversation, to be sent to whoever should come in. */
export function InviteLink({ id }: { readonly id: string }) {
  const client = useClient();
  const [link, setLink] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  // Asked for again, it is the same link.
  const [wanted, setWanted] = useState<NewLink>(() => client.invitations.newLink());
  const make = () => {
    setError(null);
    client.invitations
      .link(id, wanted, Date.now() + LINK_DAYS * DAY_MS)
      .then((token) => {
        setLink(`${window.location.origin}/#/join/${token}`);
        setWanted(client.invitations.newLink());
      })
      .catch((cause: unknown) => setError(explain(cause)));
  };
  return (
    <div className="invite-link">
      {link === null ? (
        <button className="button wide" onClick={make}>
          Invite by link
        </button>
      ) : (
        <label className="field">
          <span>Whoever has it may join, for {LINK_DAYS} days</span>
          <input readOnly value={link} aria-label="Link" onFocus={(event) => event.target.select()} />
        </label>
      )}
      {error && (
        <p className="hint error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}
