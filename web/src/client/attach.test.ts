import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { StreamService } from '../gen/nexus/v1/stream_pb';
import type { AttachRequest } from '../gen/nexus/v1/stream_pb';
import { Attachment, SILENCE_MS } from './attach';
import type { Link, Listener } from './attach';
import { BACKOFF_MAX_MS, backoff } from './backoff';
import { api } from './transport';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Implementation = (
  request: AttachRequest,
  attempt: number,
  signal: AbortSignal,
) => AsyncGenerator<{ frame: { case: 'attached'; value: object } | { case: 'reconnect'; value: object } }>;

function start(implementation: Implementation) {
  const links: Link[] = [];
  let attempts = 0;
  const transport = createRouterTransport((router) => {
    router.service(StreamService, {
      attach: (request, context) => implementation(request, ++attempts, context.signal),
    });
  });
  const listener: Listener = {
    prepare: () => Promise.resolve(),
    cursors: () => [{ conversationId: 'c', seq: 7 }],
    frame: () => undefined,
    link: (link) => links.push(link),
  };
  const attachment = new Attachment(api(transport), listener, () => 1);
  const over = attachment.run();
  return { attachment, links, over, attempts: () => attempts };
}

const states = (links: readonly Link[]) => links.map(({ state }) => state);
const attached = { frame: { case: 'attached' as const, value: {} } };
const forever = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

it('says what it has, and comes back with more and more patience', async () => {
  const cursors: bigint[] = [];
  const run = start(async function* ({ cursors: given }, attempt, signal) {
    cursors.push(...given.map(({ seq }) => seq));
    if (attempt < 4) throw new ConnectError('down', Code.Unavailable);
    yield attached;
    await forever(signal);
  });
  await vi.advanceTimersByTimeAsync(BACKOFF_MAX_MS);
  expect(run.attempts()).toBe(4);
  expect(cursors).toEqual([7n, 7n, 7n, 7n]);
  const waits = run.links.flatMap((link) => (link.state === 'waiting' ? [link.until] : []));
  const [first = 0, second = 0, third = 0] = waits;
  expect(third - second).toBeGreaterThan(second - first);
  expect(states(run.links).at(-1)).toBe('online');
  run.attachment.stop();
  await run.over;
});

it('gives up a stream that has fallen silent', async () => {
  const run = start(async function* (_, __, signal) {
    yield attached;
    await forever(signal);
  });
  await vi.advanceTimersByTimeAsync(SILENCE_MS - 1_000);
  expect(states(run.links)).toEqual(['connecting', 'online']);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(run.links.at(2)).toMatchObject({ state: 'waiting', reason: 'The server fell silent.' });
  run.attachment.stop();
  await run.over;
});

it('waits as long as the server asks when it says Reconnect', async () => {
  const run = start(async function* (_, __, signal) {
    yield attached;
    yield { frame: { case: 'reconnect', value: { afterMs: 5_000, reason: 'draining' } } };
    await forever(signal);
  });
  await vi.advanceTimersByTimeAsync(4_900);
  expect(run.attempts()).toBe(1);
  expect(run.links.at(-1)).toMatchObject({ state: 'waiting', reason: 'draining' });
  await vi.advanceTimersByTimeAsync(200);
  expect(run.attempts()).toBe(2);
  run.attachment.stop();
  await run.over;
});

it('ends when the token is no good any more', async () => {
  const run = start(async function* () {
    await Promise.resolve();
    throw new ConnectError('expired', Code.Unauthenticated);
    yield attached;
  });
  await run.over;
  expect(run.links.at(-1)).toEqual({ state: 'signed-out', reason: 'expired' });
});

it('tries at once when it is told to', async () => {
  const run = start(async function* () {
    await Promise.resolve();
    throw new ConnectError('down', Code.Unavailable);
    yield attached;
  });
  await vi.advanceTimersByTimeAsync(10);
  expect(run.attempts()).toBe(1);
  run.attachment.now();
  await vi.advanceTimersByTimeAsync(10);
  expect(run.attempts()).toBe(2);
  run.attachment.stop();
  await run.over;
});

it('never waits longer than the longest, nor less than half', () => {
  expect(backoff(100, () => 1)).toBe(BACKOFF_MAX_MS);
  expect(backoff(100, () => 0)).toBe(BACKOFF_MAX_MS / 2);
  expect(backoff(1, () => 0)).toBe(250);
});
