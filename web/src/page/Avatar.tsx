import type { PresenceStatus } from '../client/model';
import { HashIcon, PeopleIcon } from './icons';

const HUES = 8;

/** A colour of the palette for a name, always the same one. */
export function hue(name: string): string {
  // FNV-1a, folded: its low bits alone are too even.
  let hash = 0x811c9dc5;
  for (const char of name) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return `hue-${((hash ^ (hash >>> 15)) >>> 0) % HUES}`;
}

interface Props {
  /** What the colour goes by: it stays when the name changes. */
  readonly id: string;
  readonly name: string;
  readonly shape?: 'person' | 'group' | 'channel';
  readonly status?: PresenceStatus | undefined;
  readonly small?: boolean;
}

export function Avatar({ id, name, shape = 'person', status, small = false }: Props) {
  const letters = name.split(/[\s._-]+/).filter(Boolean);
  const initials = letters.length > 1 ? `${letters[0]?.[0] ?? ''}${letters[1]?.[0] ?? ''}` : name.slice(0, 2);
  return (
    <span className={`avatar ${hue(id)} ${shape} ${small ? 'small' : ''}`}>
      {shape === 'person' && <span aria-hidden="true">{initials}</span>}
      {shape === 'group' && <PeopleIcon />}
      {shape === 'channel' && <HashIcon />}
      {status && <span className={`presence ${status}`} role="img" aria-label={status} />}
    </span>
  );
}
