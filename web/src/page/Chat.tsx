import { useEffect, useState } from 'react';
import { Banner } from './Banner';
import { useClient, useLink, useNexus, useOpenConversation } from './hooks';
import { Join } from './Invitations';
import { NewConversation } from './NewConversation';
import { Profile } from './Profile';
import { Sidebar } from './Sidebar';
import { Thread } from './Thread';
import { Toast } from './Toast';

/** Wide enough for list and conversation side by side. */
const WIDE = '(min-width: 760px)';

export function Chat({ onLeave }: { readonly onLeave: (reason: string | null) => void }) {
  const client = useClient();
  const { link, conversations, complete } = useNexus();
  const [id, open] = useOpenConversation();
  const token = useLink();
  const [creating, setCreating] = useState(false);
  const [renaming, setRenaming] = useState(false);
  const newest = conversations[0]?.id;
  const missing = id !== null && complete && !conversations.some((it) => it.id === id);

  useEffect(() => {
    if (link.state === 'signed-out') onLeave('Please log in again: your session has ended.');
  }, [link, onLeave]);

  useEffect(() => {
    const back = () => {
      if (document.visibilityState === 'visible') client.reconnectNow();
    };
    window.addEventListener('online', back);
    document.addEventListener('visibilitychange', back);
    return () => {
      window.removeEventListener('online', back);
      document.removeEventListener('visibilitychange', back);
    };
  }, [client]);

  useEffect(() => {
    if (token === null && newest && (missing || (id === null && matchMedia(WIDE).matches))) open(newest);
  }, [id, token, missing, newest, open]);

  useEffect(() => {
    const total = conversations.reduce((sum, it) => sum + it.unread, 0);
    document.title = total > 0 ? `(${total}) Nexus` : 'Nexus';
  }, [conversations]);

  return (
    <div className={id === null ? 'chat listing' : 'chat reading'}>
      <Sidebar
        openId={id}
        onOpen={open}
        onNew={() => setCreating(true)}
        onRename={() => setRenaming(true)}
        onLeave={() => onLeave(null)}
      />
      <main className="main">
        <Banner />
        {id === null || missing ? (
          <div className="empty-state">{complete ? 'Choose a conversation.' : 'Connecting…'}</div>
        ) : (
          <Thread key={id} id={id} onBack={() => open(null)} />
        )}
      </main>
      {creating && (
        <NewConversation
          onClose={() => setCreating(false)}
          onCreated={(created) => {
            setCreating(false);
            open(created);
          }}
        />
      )}
      {token !== null && <Join token={token} onClose={() => open(null)} onOpen={open} />}
      {renaming && <Profile onClose={() => setRenaming(false)} />}
      <Toast />
    </div>
  );
}
