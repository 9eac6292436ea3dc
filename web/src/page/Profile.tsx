import { useEffect, useRef, useState } from 'react';
import type { SubmitEvent } from 'react';
import { explain } from '../client/errors';
import { useClient } from './hooks';
import { CloseIcon } from './icons';

/** Bytes of a name to show. */
const MAX_BYTES = 128;
const encoder = new TextEncoder();

/** How one wants to be shown to others. */
export function Profile({ onClose }: { readonly onClose: () => void }) {
  const client = useClient();
  const dialog = useRef<HTMLDialogElement>(null);
  const [name, setName] = useState(() => {
    const shown = client.nameOf(client.me);
    return shown === client.me ? '' : shown;
  });
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const tooLong = encoder.encode(name.trim()).length > MAX_BYTES;

  useEffect(() => dialog.current?.showModal(), []);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (busy || tooLong) return;
    setBusy(true);
    client
      .rename(name.trim())
      .then(onClose)
      .catch((cause: unknown) => setError(explain(cause)))
      .finally(() => setBusy(false));
  };

  return (
    <dialog ref={dialog} className="dialog" onClose={onClose} aria-labelledby="profile-title">
      <form onSubmit={submit}>
        <header>
          <h2 id="profile-title">How others see you</h2>
          <button type="button" className="button icon-button" onClick={onClose} title="Close">
            <CloseIcon />
            <span className="visually-hidden">Close</span>
          </button>
        </header>
        <label className="field">
          <span>Name to show</span>
          <input
            name="display-name"
            value={name}
            onChange={(event) => setName(event.target.value)}
            placeholder={client.me}
            autoComplete="name"
            aria-invalid={tooLong}
            autoFocus
          />
        </label>
        <p className={tooLong || error ? 'hint error' : 'hint'} role={tooLong || error ? 'alert' : undefined}>
          {tooLong ? 'This is too long for a name.' : (error ?? `Left empty, you are shown as ${client.me}.`)}
        </p>
        <button className="button primary wide" disabled={busy || tooLong}>
          Save
        </button>
      </form>
    </dialog>
  );
}
