import type { Summary } from '../client/conversation';
import { Avatar } from './Avatar';
import { briefTime } from './format';
import { useClient, useName, useNames, useNexus, useNow, useTitle } from './hooks';
import { Received } from './Invitations';
import { LeaveIcon, Mark, MoonIcon, PlusIcon } from './icons';
import { toggleTheme } from './theme';

interface Props {
  readonly openId: string | null;
  readonly onOpen: (id: string) => void;
  readonly onNew: () => void;
  readonly onRename: () => void;
  readonly onLeave: () => void;
}

export function Sidebar({ openId, onOpen, onNew, onRename, onLeave }: Props) {
  const client = useClient();
  const { conversations, complete, link } = useNexus();
  const name = useName(client.me);
  return (
    <aside className="sidebar">
      <header className="sidebar-head">
        <Mark />
        <h1>Nexus</h1>
        <button className="button icon-button" onClick={onNew} title="New conversation">
          <PlusIcon />
          <span className="visually-hidden">New conversation</span>
        </button>
      </header>
      <Received onOpen={onOpen} />
      <nav className="conversations" aria-label="Conversations">
        <ul>
          {conversations.map((it) => (
            <li key={it.id}>
              <ConversationRow summary={it} open={it.id === openId} onOpen={onOpen} />
            </li>
          ))}
        </ul>
        {complete && conversations.length === 0 && (
          <p className="hint">No conversations yet. Begin one with the button above.</p>
        )}
      </nav>
      <footer className="sidebar-foot">
        <Avatar id={client.me} name={name} status={link.state === 'online' ? 'online' : 'offline'} />
        <button className="me" onClick={onRename} title="How others see you">
          <b>{name}</b>
          <span>{link.state === 'online' ? 'Online' : 'Offline'}</span>
        </button>
        <button className="button icon-button" onClick={toggleTheme} title="Light or dark">
          <MoonIcon />
          <span className="visually-hidden">Light or dark</span>
        </button>
        <button className="button icon-button" onClick={onLeave} title="Log out">
          <LeaveIcon />
          <span className="visually-hidden">Log out</span>
        </button>
      </footer>
    </aside>
  );
}

interface RowProps {
  readonly summary: Summary;
  readonly open: boolean;
  readonly onOpen: (id: string) => void;
}

function ConversationRow({ summary, open, onOpen }: RowProps) {
  const client = useClient();
  const now = useNow(60_000);
  const { info, unread, typing } = summary;
  const direct = info.kind === 'direct';
  const title = useTitle(info);
  const typists = useNames(typing);
  const speaker = useName(summary.last?.sender ?? '');
  const timeMs = summary.last?.timeMs ?? info.lastAtMs;
  return (
    <button
      className={`conversation ${unread > 0 ? 'unread' : ''}`}
      aria-current={open ? 'page' : undefined}
      onClick={() => onOpen(summary.id)}
      data-title={direct ? info.peer : info.title}
    >
      <Avatar
        id={direct ? info.peer : info.title}
        name={title}
        shape={direct ? 'person' : info.kind === 'channel' ? 'channel' : 'group'}
        status={direct ? client.presenceOf(info.peer) : undefined}
      />
      <span className="conversation-title">{title}</span>
      <time className="conversation-time">{briefTime(timeMs, now)}</time>
      {typing.length > 0 ? (
        <span className="conversation-last typing">{typists} typing…</span>
      ) : (
        <span className="conversation-last" dir="auto">
          {preview(summary, client.me, speaker)}
        </span>
      )}
      {unread > 0 && (
        <span className="badge" aria-label={`${unread} unread`}>
          {unread > 99 ? '99+' : unread}
        </span>
      )}
    </button>
  );
}

function preview({ last, info }: Summary, me: string, speaker: string): string {
  if (!last) return info.topic || 'Nothing here yet';
  const who = last.sender === me ? 'You: ' : info.kind === 'direct' ? '' : `${speaker}: `;
  if (!last.content) return `${who}deleted message`;
  return who + (last.content.text || last.content.attachments.join(', ') || 'message');
}
