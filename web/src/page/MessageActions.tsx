import { useState } from 'react';
import type { Shown } from '../client/overlay';
import { useClient } from './hooks';
import { EditIcon, ReplyIcon, SmileIcon, TrashIcon } from './icons';

const REACTIONS = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '👀'];

interface Props {
  readonly conversationId: string;
  readonly message: Shown;
  readonly mine: boolean;
  readonly mayModerate: boolean;
  readonly picking: boolean;
  readonly onPicking: (picking: boolean) => void;
  readonly onReact: (reaction: string) => void;
  readonly onReply: (message: Shown) => void;
  readonly onEdit: (message: Shown) => void;
}

/** What one can do with a message; shown when the pointer or the focus is on it. */
export function MessageActions(props: Props) {
  const { conversationId, message, mine, mayModerate, picking, onPicking, onReact, onReply, onEdit } = props;
  const client = useClient();
  const [sure, setSure] = useState(false);
  const remove = () => {
    if (sure) client.do(conversationId, { type: 'delete', seq: message.seq });
    setSure(!sure);
  };
  return (
    <div className={picking ? 'actions picking' : 'actions'} onMouseLeave={() => setSure(false)}>
      {picking && (
        <div className="picker" role="group" aria-label="Reactions">
          {REACTIONS.map((reaction) => (
            <button key={reaction} onClick={() => onReact(reaction)} aria-label={`React with ${reaction}`}>
              {reaction}
            </button>
          ))}
        </div>
      )}
      <button
        title="React"
        aria-label="React"
        aria-expanded={picking}
        onClick={() => onPicking(!picking)}
        onKeyDown={(event) => event.key === 'Escape' && onPicking(false)}
      >
        <SmileIcon />
      </button>
      <button title="Reply" aria-label="Reply" onClick={() => onReply(message)}>
        <ReplyIcon />
      </button>
      {mine && (
        <button title="Edit" aria-label="Edit" onClick={() => onEdit(message)}>
          <EditIcon />
        </button>
      )}
      {(mine || mayModerate) && (
        <button
          className={sure ? 'sure' : ''}
          title="Delete"
          aria-label={sure ? 'Really delete' : 'Delete'}
          onClick={remove}
          onBlur={() => setSure(false)}
        >
          {sure ? 'Delete?' : <TrashIcon />}
        </button>
      )}
    </div>
  );
}
