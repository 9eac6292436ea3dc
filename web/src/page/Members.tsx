import { useState } from 'react';
import type { SubmitEvent } from 'react';
import type { View } from '../client/conversation';
import { explain } from '../client/errors';
import type { Info, PresenceStatus, Role } from '../client/model';
import { NAME } from '../client/session';
import { Avatar } from './Avatar';
import { useClient, useName, useNexus } from './hooks';
import { CloseIcon } from './icons';
import { InviteLink } from './Invitations';

interface Props {
  readonly view: View;
  readonly info: Info;
  readonly onClose: () => void;
}

const order: Readonly<Record<PresenceStatus, number>> = { online: 0, busy: 1, away: 2, offline: 3 };

/** Who is in a conversation, and, where it is told, who is here. */
export function Members({ view, info, onClose }: Props) {
  const client = useClient();
  const { link } = useNexus();
  // Presence is told in direct conversations and groups, not in channels.
  const told = info.kind !== 'channel';
  const status = (user: string): PresenceStatus | undefined => {
    if (!told) return undefined;
    return user === client.me ? (link.state === 'online' ? 'online' : 'offline') : client.presenceOf(user);
  };
  const rank = (user: string) => order[status(user) ?? 'offline'];
  const members = (view.members ?? []).toSorted(
    (a, b) => rank(a.user) - rank(b.user) || (a.user < b.user ? -1 : 1),
  );
  const here = members.filter((it) => rank(it.user) !== order.offline).length;
  return (
    <aside
      className="members"
      aria-label="Members"
      onKeyDown={(event) => event.key === 'Escape' && onClose()}
    >
      <header>
        <h2>Members</h2>
        <button className="button icon-button" onClick={onClose} title="Close">
          <CloseIcon />
          <span className="visually-hidden">Close</span>
        </button>
      </header>
      <p className="hint">
        {told ? `${here} of ${info.memberCount} here now` : `${info.memberCount} in this channel`}
      </p>
      <ul>
        {members.map(({ user, role }) => (
          <MemberRow key={user} user={user} role={role} status={status(user)} />
        ))}
        {info.memberCount > members.length && members.length > 0 && (
          <li className="hint">and {info.memberCount - members.length} more</li>
        )}
      </ul>
      {info.kind !== 'direct' && (info.role === 'admin' || info.role === 'owner') && (
        <>
          <AddMember id={info.id} />
          <InviteLink id={info.id} />
        </>
      )}
    </aside>
  );
}

interface RowProps {
  readonly user: string;
  readonly role: Role;
  readonly status: PresenceStatus | undefined;
}

function MemberRow({ user, role, status }: RowProps) {
  const client = useClient();
  const name = useName(user);
  return (
    <li data-member={user} title={user}>
      <Avatar id={user} name={name} status={status} small />
      <span className="member-name">
        {name}
        {user === client.me && <i> (you)</i>}
      </span>
      <span className="member-role">{role === 'owner' || role === 'admin' ? role : ''}</span>
    </li>
  );
}

function AddMember({ id }: { readonly id: string }) {
  const client = useClient();
  const [name, setName] = useState('');
  const [error, setError] = useState<string | null>(null);
  const [clientId, setClientId] = useState(() => client.newId());
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!NAME.test(name)) return;
    setError(null);
    client
      .addMembers(id, clientId, [name])
      .then(() => {
        setName('');
        setClientId(client.newId());
      })
      .catch((cause: unknown) => setError(explain(cause)));
  };
  const change = (value: string) => {
    setName(value.trim());
    setClientId(client.newId());
  };
  return (
    <form className="add-member" onSubmit={submit}>
      <input
        value={name}
        onChange={(event) => change(event.target.value)}
        placeholder="Add somebody"
        aria-label="Add somebody"
        autoCapitalize="none"
        spellCheck={false}
      />
      <button className="button" disabled={!NAME.test(name)}>
        Add
      </button>
      {error && (
        <p className="hint error" role="alert">
          {error}
        </p>
      )}
    </form>
  );
}
