import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { KeyboardEvent } from 'react';
import type { View } from '../client/conversation';
import { roleRank } from '../client/model';
import type { Info } from '../client/model';
import type { Shown } from '../client/overlay';
import { useClient, useName, useTitle } from './hooks';
import { CloseIcon, SendIcon } from './icons';

export type Mode =
  | { readonly type: 'new' }
  | { readonly type: 'reply'; readonly message: Shown }
  | { readonly type: 'edit'; readonly message: Shown };

interface Props {
  readonly view: View;
  readonly info: Info;
  readonly mode: Mode;
  readonly onMode: (mode: Mode) => void;
}

/** The whole content may take 32 KiB; this leaves room for the rest of it. */
const MAX_BYTES = 32_000;
const encoder = new TextEncoder();

/** What was begun in each conversation and not sent, by user and conversation. */
const drafts = new Map<string, string>();

export function Composer({ view, info, mode, onMode }: Props) {
  const client = useClient();
  const title = useTitle(info);
  const answered = useName(mode.type === 'reply' ? mode.message.sender : '');
  const draft = `${client.me} ${view.id}`;
  const [text, setText] = useState(() => drafts.get(draft) ?? '');
  const [editing, setEditing] = useState<Mode>(mode);
  const field = useRef<HTMLTextAreaElement>(null);
  const { id } = view;

  if (editing !== mode) {
    setEditing(mode);
    if (mode.type === 'edit') setText(mode.message.content?.text ?? '');
    else if (editing.type === 'edit') setText(drafts.get(draft) ?? '');
  }

  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches || mode.type !== 'new') field.current?.focus();
  }, [id, mode]);

  useLayoutEffect(() => {
    const box = field.current;
    if (!box) return;
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight}px`;
  }, [text]);

  useEffect(() => () => client.typing(id, false), [client, id]);

  const needed = Math.max(roleRank[info.postRole], roleRank.member);
  if (roleRank[info.role] < needed)
    return <p className="composer-closed">You may read here, but not write.</p>;

  const tooLong = encoder.encode(text).length > MAX_BYTES;
  const ready = text.trim() !== '' && !tooLong;

  const submit = () => {
    if (!ready) return;
    const said = text.trim();
    const mentions = mentioned(said, view);
    if (mode.type === 'edit') {
      const { seq, content } = mode.message;
      if (content?.text !== said) client.do(id, { type: 'edit', seq, text: said, mentions });
    } else {
      client.do(id, {
        type: 'send',
        text: said,
        mentions,
        replyTo: mode.type === 'reply' ? mode.message.seq : 0,
      });
      drafts.delete(draft);
    }
    setText(drafts.get(draft) ?? '');
    onMode({ type: 'new' });
    client.typing(id, false);
    field.current?.focus();
  };

  const change = (value: string) => {
    setText(value);
    if (mode.type === 'edit') return;
    drafts.set(draft, value);
    client.typing(id, value.trim() !== '');
  };

  const keyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape' && mode.type !== 'new') {
      onMode({ type: 'new' });
    } else if (event.key === 'ArrowUp' && text === '' && mode.type === 'new') {
      const own = view.messages.findLast((it) => it.sender === client.me && it.content && !it.pending);
      if (!own) return;
      event.preventDefault();
      onMode({ type: 'edit', message: own });
    }
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {mode.type !== 'new' && (
        <div className="composer-mode">
          <b>{mode.type === 'edit' ? 'Editing' : `Replying to ${answered}`}</b>
          <span>{mode.message.content?.text}</span>
          <button
            type="button"
            className="button icon-button"
            onClick={() => onMode({ type: 'new' })}
            title="Cancel"
          >
            <CloseIcon />
            <span className="visually-hidden">Cancel</span>
          </button>
        </div>
      )}
      <div className="composer-row">
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          value={text}
          onChange={(event) => change(event.target.value)}
          onKeyDown={keyDown}
          placeholder={`Message ${title}`}
          aria-label="Message"
          aria-invalid={tooLong}
        />
        <button className="button send" disabled={!ready} title="Send" aria-label="Send">
          <SendIcon />
        </button>
      </div>
      {tooLong && <p className="hint error">This is too long for one message.</p>}
    </form>
  );
}

/** Members whom a text calls by @name. */
function mentioned(text: string, view: View): readonly string[] {
  const called = new Set(
    [...text.matchAll(/@([A-Za-z0-9._-]{1,64})/g)].flatMap(([, name = '']) => [
      name,
      name.replace(/[._-]+$/, ''),
    ]),
  );
  return (view.members ?? []).map(({ user }) => user).filter((user) => called.has(user));
}
