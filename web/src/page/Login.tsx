import { useState } from 'react';
import type { SubmitEvent } from 'react';
import { explain } from '../client/errors';
import { logIn, NAME } from '../client/session';
import type { Session } from '../client/session';
import { Mark } from './icons';

interface Props {
  readonly user: string;
  readonly why: string | null;
  readonly onLogin: (session: Session) => void;
}

export function Login({ user, why, onLogin }: Props) {
  const [name, setName] = useState(user);
  const [error, setError] = useState(why);
  const [busy, setBusy] = useState(false);
  const invalid = name !== '' && !NAME.test(name);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!NAME.test(name) || busy) return;
    setBusy(true);
    setError(null);
    logIn(name)
      .then(onLogin)
      .catch((cause: unknown) => setError(explain(cause)))
      .finally(() => setBusy(false));
  };

  return (
    <main className="login">
      <form className="login-card" onSubmit={submit}>
        <Mark className="login-mark" />
        <h1>Welcome to Nexus</h1>
        <p className="login-lead">Chat that loses nothing. Choose a name, and you are in.</p>
        <label className="field">
          <span>Your name</span>
          <input
            name="user"
            value={name}
            onChange={(event) => setName(event.target.value.trim())}
            placeholder="alice"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            maxLength={64}
            autoFocus
            aria-invalid={invalid}
            aria-describedby="login-help"
          />
        </label>
        <p id="login-help" className={error || invalid ? 'hint error' : 'hint'} role="status">
          {invalid
            ? 'Letters, digits, dot, underscore and hyphen, please.'
            : (error ?? 'No password: this server runs in development mode.')}
        </p>
        <button className="button primary wide" disabled={busy || !NAME.test(name)}>
          {busy ? 'One moment…' : 'Start chatting'}
        </button>
      </form>
    </main>
  );
}
