import { useCallback, useEffect, useState } from 'react';
import { NexusClient } from '../client/client';
import { forgetSession, restoreSession } from '../client/session';
import type { Session } from '../client/session';
import { Chat } from './Chat';
import { ClientContext } from './hooks';
import { Login } from './Login';

export function App() {
  const [session, setSession] = useState<Session | null>(restoreSession);
  const [lastUser, setLastUser] = useState('');
  const [why, setWhy] = useState<string | null>(null);

  const leave = useCallback(
    (reason: string | null) => {
      setLastUser(session?.user ?? '');
      forgetSession();
      setWhy(reason);
      setSession(null);
    },
    [session],
  );

  if (!session) return <Login user={lastUser} why={why} onLogin={setSession} />;
  return <Signed key={session.token} session={session} onLeave={leave} />;
}

function Signed({ session, onLeave }: { session: Session; onLeave: (reason: string | null) => void }) {
  const [client, setClient] = useState<NexusClient | null>(null);

  useEffect(() => {
    let opened: NexusClient | null = null;
    const ended = new AbortController();
    void NexusClient.open(session).then((it) => {
      if (ended.signal.aborted) return;
      opened = it;
      setClient(it);
      void it.start();
    });
    return () => {
      ended.abort();
      opened?.stop();
    };
  }, [session]);

  if (!client) return <div className="splash" aria-busy="true" />;
  return (
    <ClientContext value={client}>
      <Chat onLeave={onLeave} />
    </ClientContext>
  );
}
