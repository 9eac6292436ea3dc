import { useEffect, useRef, useState } from 'react';
import type { SubmitEvent } from 'react';
import { explain } from '../client/errors';
import { NAME } from '../client/session';
import { useClient } from './hooks';
import { CloseIcon } from './icons';

const kinds = [
  { kind: 'direct', name: 'Direct', lead: 'Just the two of you.' },
  { kind: 'group', name: 'Group', lead: 'By invitation.' },
  { kind: 'channel', name: 'Channel', lead: 'Everybody may find and join it.' },
] as const;

type Kind = (typeof kinds)[number]['kind'];

interface Props {
  readonly onClose: () => void;
  readonly onCreated: (id: string) => void;
}

const split = (text: string) => text.split(/[\s,;]+/).filter(Boolean);

export function NewConversation({ onClose, onCreated }: Props) {
  const client = useClient();
  const dialog = useRef<HTMLDialogElement>(null);
  const [kind, setKind] = useState<Kind>('direct');
  const [title, setTitle] = useState('');
  const [people, setPeople] = useState('');
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  // Trying again must not create a second one.
  const [clientId] = useState(() => client.newId());

  useEffect(() => dialog.current?.showModal(), []);

  const users = split(people);
  const wrong = users.find((user) => !NAME.test(user));
  const ready = wrong === undefined && (kind === 'direct' ? users.length === 1 : title.trim() !== '');

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    const made =
      kind === 'direct'
        ? client.openDirect(users[0] ?? '')
        : client.create(clientId, kind, title.trim(), users);
    made
      .then(onCreated)
      .catch((cause: unknown) => setError(explain(cause)))
      .finally(() => setBusy(false));
  };

  return (
    <dialog ref={dialog} className="dialog" onClose={onClose} aria-labelledby="new-title">
      <form onSubmit={submit}>
        <header>
          <h2 id="new-title">New conversation</h2>
          <button type="button" className="button icon-button" onClick={onClose} title="Close">
            <CloseIcon />
            <span className="visually-hidden">Close</span>
          </button>
        </header>
        <fieldset className="segments">
          <legend className="visually-hidden">Kind</legend>
          {kinds.map((it) => (
            <label key={it.kind}>
              <input
                type="radio"
                name="kind"
                value={it.kind}
                checked={kind === it.kind}
                onChange={() => setKind(it.kind)}
              />
              <span>{it.name}</span>
            </label>
          ))}
        </fieldset>
        <p className="hint">{kinds.find((it) => it.kind === kind)?.lead}</p>
        {kind !== 'direct' && (
          <label className="field">
            <span>Title</span>
            <input
              name="title"
              value={title}
              onChange={(event) => setTitle(event.target.value)}
              maxLength={80}
              autoFocus
            />
          </label>
        )}
        <label className="field">
          <span>{kind === 'direct' ? 'With whom?' : 'Who should be in it?'}</span>
          <input
            name="people"
            value={people}
            onChange={(event) => setPeople(event.target.value)}
            placeholder={kind === 'direct' ? 'bob' : 'bob, carol'}
            autoCapitalize="none"
            spellCheck={false}
          />
        </label>
        {(error ?? wrong) && (
          <p className="hint error" role="alert">
            {wrong === undefined ? error : `“${wrong}” is not a name.`}
          </p>
        )}
        <button className="button primary wide" disabled={!ready || busy}>
          {kind === 'direct' ? 'Open conversation' : 'Create'}
        </button>
      </form>
    </dialog>
  );
}
