import { useCallback, useEffect, useState } from 'react';
import type { Shown } from '../client/overlay';
import { Avatar } from './Avatar';
import { Composer } from './Composer';
import type { Mode } from './Composer';
import { useClient, useNames, useNexus, useTitle, useView } from './hooks';
import { BackIcon, PeopleIcon } from './icons';
import { Members } from './Members';
import { Timeline } from './Timeline';

interface Props {
  readonly id: string;
  readonly onBack: () => void;
}

const NOBODY: readonly string[] = [];

export function Thread({ id, onBack }: Props) {
  const client = useClient();
  const view = useView(id);
  useNexus();
  const [mode, setMode] = useState<Mode>({ type: 'new' });
  const [showMembers, setShowMembers] = useState(() => matchMedia('(min-width: 1180px)').matches);
  const title = useTitle(view?.info ?? null);
  const typists = useNames(view?.typing ?? NOBODY);
  const known = view?.info !== undefined && view.info !== null;

  useEffect(() => {
    if (!known) return;
    client.open(id);
    return () => client.open(null);
  }, [client, id, known]);

  const reply = useCallback((message: Shown) => setMode({ type: 'reply', message }), []);
  const edit = useCallback((message: Shown) => setMode({ type: 'edit', message }), []);

  if (!view?.info) return <div className="empty-state" aria-busy="true" />;
  const { info } = view;
  const direct = info.kind === 'direct';
  const status = direct ? client.presenceOf(info.peer) : undefined;
  const subtitle = direct
    ? (status ?? '')
    : info.topic || `${info.memberCount} ${info.memberCount === 1 ? 'member' : 'members'}`;

  return (
    <div className="thread-and-members">
      <section className="thread" aria-label={title}>
        <header className="thread-head">
          <button className="button icon-button back" onClick={onBack} title="All conversations">
            <BackIcon />
            <span className="visually-hidden">All conversations</span>
          </button>
          <Avatar
            id={direct ? info.peer : info.title}
            name={title}
            shape={direct ? 'person' : info.kind === 'channel' ? 'channel' : 'group'}
            status={status}
          />
          <div className="thread-title">
            <h2>{title}</h2>
            <p>{subtitle}</p>
          </div>
          <button
            className="button icon-button"
            aria-expanded={showMembers}
            onClick={() => setShowMembers(!showMembers)}
            title="Members"
          >
            <PeopleIcon />
            <span className="visually-hidden">Members</span>
          </button>
        </header>
        <Timeline view={view} info={info} onReply={reply} onEdit={edit} />
        <p className="typing-line" aria-live="polite">
          {view.typing.length > 0 && (
            <>
              <span className="dots" aria-hidden="true">
                <i />
                <i />
                <i />
              </span>
              {typists} {view.typing.length === 1 ? 'is' : 'are'} typing
            </>
          )}
        </p>
        <Composer view={view} info={info} mode={mode} onMode={setMode} />
      </section>
      {showMembers && <Members view={view} info={info} onClose={() => setShowMembers(false)} />}
    </div>
  );
}
