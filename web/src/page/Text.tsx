import { Fragment } from 'react';
import type { ReactNode } from 'react';

const PARTS = /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]'])|(@[A-Za-z0-9._-]{1,64})|(`[^`\n]+`)/g;
const EMOJI =
  /^(?:\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier})?(?:\u200D\p{Extended_Pictographic}\uFE0F?)*\s?){1,3}$/u;

/** One to three emoji and nothing else. */
export const onlyEmoji = (text: string): boolean => text.length < 40 && EMOJI.test(text);

interface Props {
  readonly text: string;
  readonly mentions: readonly string[];
  readonly me: string;
}

/** A text with its addresses, mentions and code set apart. */
export function Text({ text, mentions, me }: Props) {
  const out: ReactNode[] = [];
  let from = 0;
  for (const match of text.matchAll(PARTS)) {
    const [whole, address, mention, code] = match;
    const part = address ? (
      <a href={address} target="_blank" rel="noopener noreferrer">
        {address}
      </a>
    ) : mention ? (
      mentioned(mention, mentions, me)
    ) : (
      <code>{code?.slice(1, -1)}</code>
    );
    out.push(text.slice(from, match.index), <Fragment key={match.index}>{part}</Fragment>);
    from = match.index + whole.length;
  }
  out.push(text.slice(from));
  return <>{out}</>;
}

function mentioned(word: string, mentions: readonly string[], me: string): ReactNode {
  const name = mentions.find((it) => it === word.slice(1) || word.slice(1).replace(/[._-]+$/, '') === it);
  if (name === undefined) return word;
  return (
    <>
      <span className={name === me ? 'mention me' : 'mention'}>@{name}</span>
      {word.slice(1 + name.length)}
    </>
  );
}
