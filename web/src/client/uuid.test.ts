import { expect, it } from 'vitest';
import { uuidv7 } from './uuid';

it('is a UUIDv7 with the time in front', () => {
  const id = uuidv7(0x0123_4567_89ab, (bytes) => bytes.fill(0xff));
  expect(id).toBe('01234567-89ab-7fff-bfff-ffffffffffff');
});

it('orders by time', () => {
  const ids = [5, 1_700_000_000_000, 1_700_000_000_001, 0xffff_ffff_fff0].map((time) => uuidv7(time));
  expect([...ids].sort()).toEqual(ids);
});
