import { memo, useState } from 'react';
import type { Reaction } from '../client/model';
import type { Shown } from '../client/overlay';
import { Avatar, hue } from './Avatar';
import { clockTime, fullTime } from './format';
import { useClient, useName, useNames } from './hooks';
import { MessageActions } from './MessageActions';
import { onlyEmoji, Text } from './Text';

interface Props {
  readonly conversationId: string;
  readonly message: Shown;
  readonly first: boolean;
  readonly last: boolean;
  /** Names and faces are shown: there are more than two. */
  readonly grouped: boolean;
  readonly mayModerate: boolean;
  /** What it answers, if that is here. */
  readonly answered: Shown | undefined;
  readonly onReply: (message: Shown) => void;
  readonly onEdit: (message: Shown) => void;
}

export const MessageRow = memo(function MessageRow(props: Props) {
  const { conversationId, message, first, last, grouped, answered } = props;
  const client = useClient();
  const [picking, setPicking] = useState(false);
  const mine = message.sender === client.me;
  const name = useName(message.sender);
  const { content, pending } = message;
  const classes = ['message', mine ? 'mine' : 'theirs'];
  if (first) classes.push('first');
  if (last) classes.push('last');
  if (grouped) classes.push('grouped');
  if (pending) classes.push(pending.refusal === null ? 'sending' : 'refused');
  if (content && onlyEmoji(content.text)) classes.push('jumbo');
  if (content?.mentions.includes(client.me)) classes.push('calls-me');
  const react = (reaction: string) => {
    const given = message.reactions.some((it) => it.reaction === reaction && it.users.includes(client.me));
    client.do(conversationId, { type: given ? 'unreact' : 'react', seq: message.seq, reaction });
    setPicking(false);
  };

  return (
    <article className={classes.join(' ')} id={`m${message.seq}`} data-seq={message.seq} tabIndex={0}>
      {grouped && !mine && (
        <div className="message-face">{last && <Avatar id={message.sender} name={name} small />}</div>
      )}
      <div className="message-body">
        {first && !mine && grouped && <b className={`message-sender ${hue(message.sender)}`}>{name}</b>}
        <div className="bubble">
          {message.replyTo > 0 && <Quote answered={answered} />}
          {content?.forwardedFrom && <p className="forwarded">Forwarded from {content.forwardedFrom}</p>}
          {content ? (
            <p className="text" dir="auto">
              <Text text={content.text} mentions={content.mentions} me={client.me} />
              {content.attachments.map((name) => (
                <span key={name} className="attachment">
                  {name}
                </span>
              ))}
              {content.encrypted && !content.text && <i>Encrypted message</i>}
            </p>
          ) : (
            <p className="text gone">This message was deleted.</p>
          )}
          <span className="message-meta">
            {message.editedAtMs > 0 && content && <span>edited</span>}
            <time dateTime={new Date(message.timeMs).toISOString()} title={fullTime(message.timeMs)}>
              {clockTime(message.timeMs)}
            </time>
            {mine && <Delivery message={message} />}
          </span>
        </div>
        {content && message.reactions.length > 0 && (
          <div className="reactions">
            {message.reactions.map((it) => (
              <Reactions key={it.reaction} given={it} onReact={react} />
            ))}
          </div>
        )}
        {pending?.refusal && (
          <Refused entryKey={pending.key} reason={pending.refusal} final={pending.final} />
        )}
      </div>
      {!pending && content && (
        <MessageActions {...props} mine={mine} picking={picking} onPicking={setPicking} onReact={react} />
      )}
    </article>
  );
});

function Reactions({ given, onReact }: { given: Reaction; onReact: (reaction: string) => void }) {
  const client = useClient();
  const { reaction, users } = given;
  return (
    <button
      className="reaction"
      aria-pressed={users.includes(client.me)}
      title={useNames(users)}
      onClick={() => onReact(reaction)}
    >
      <span>{reaction}</span> {users.length}
    </button>
  );
}

function Quote({ answered }: { readonly answered: Shown | undefined }) {
  const name = useName(answered?.sender ?? '');
  if (!answered) return <span className="quote">An earlier message</span>;
  const show = () => {
    const target = document.getElementById(`m${answered.seq}`);
    target?.scrollIntoView({ block: 'center', behavior: 'smooth' });
    target?.focus({ preventScroll: true });
  };
  return (
    <button className={`quote ${hue(answered.sender)}`} onClick={show}>
      <b>{name}</b>
      <span dir="auto">{answered.content?.text ?? 'This message was deleted.'}</span>
    </button>
  );
}

function Delivery({ message }: { readonly message: Shown }) {
  const { pending, changing } = message;
  const state = pending ? (pending.refusal === null ? 'sending' : 'not sent') : changing ? 'saving' : 'sent';
  return (
    <svg className={`delivery ${state.replace(' ', '-')}`} viewBox="0 0 16 16" role="img" aria-label={state}>
      {state === 'sent' ? (
        <path d="M3 8.5 6.5 12 13 4.5" />
      ) : state === 'not sent' ? (
        <path d="M8 3.5v5.5M8 12v.3" />
      ) : (
        <path d="M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5.2V8l2 1.4" />
      )}
    </svg>
  );
}

function Refused({ reason, final, entryKey }: { reason: string; final: boolean; entryKey: string }) {
  const client = useClient();
  return (
    <p className="refusal" role="alert">
      <span>Not sent: {reason}</span>
      {!final && (
        <button className="link" onClick={() => client.retry(entryKey)}>
          Try again
        </button>
      )}
      <button className="link" onClick={() => client.discard(entryKey)}>
        Discard
      </button>
    </p>
  );
}
