import { expect, it } from 'vitest';
import type { Shown } from '../client/overlay';
import { names } from './format';
import { rows } from './rows';
import { onlyEmoji } from './Text';

const noon = new Date(2026, 2, 3, 12).getTime();

const message = (seq: number, sender: string, minutes: number) =>
  ({ seq, sender, timeMs: noon + minutes * 60_000, key: String(seq), pending: null }) as Shown;

const shape = (list: ReturnType<typeof rows>) =>
  list.map((row) =>
    row.type === 'message' ? `${row.first ? '[' : ''}${row.message.seq}${row.last ? ']' : ''}` : row.type,
  );

it('groups by person, pause and day', () => {
  const list = [
    message(1, 'bob', 0),
    message(2, 'bob', 1),
    message(3, 'bob', 30),
    message(4, 'alice', 31),
    message(5, 'alice', 60 * 24),
  ];
  expect(shape(rows(list, 'alice', null))).toEqual(['day', '[1', '2]', '[3]', '[4]', 'day', '[5]']);
});

it('draws the line above the first new message of somebody else', () => {
  const list = [message(1, 'bob', 0), message(2, 'alice', 1), message(3, 'bob', 2), message(4, 'bob', 3)];
  expect(shape(rows(list, 'alice', 1))).toEqual(['day', '[1]', '[2]', 'new', '[3', '4]']);
});

it('lists names as a person would', () => {
  expect(names(['alice'])).toBe('alice');
  expect(names(['alice', 'bob', 'carol', 'dana'])).toBe('alice, bob and 2 others');
});

it('knows when there is nothing but emoji', () => {
  expect(onlyEmoji('🎉')).toBe(true);
  expect(onlyEmoji('👍🏽 ❤️')).toBe(true);
  expect(onlyEmoji('ok 👍')).toBe(false);
  expect(onlyEmoji('42')).toBe(false);
});
