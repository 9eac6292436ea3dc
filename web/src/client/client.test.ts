import 'fake-indexeddb/auto';
import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ConversationKind } from '../gen/nexus/v1/content_pb';
import { AccountArea } from '../gen/nexus/v1/stream_pb';
import { NexusClient } from './client';
import { openStorage } from './database';
import { MemoryStorage } from './storage';
import type { Storage } from './storage';
import { ModelServer } from './testing/server';
import { api } from './transport';

let server: ModelServer;
const clients: NexusClient[] = [];

beforeEach(() => {
  server = new ModelServer();
  server.open('lobby', ConversationKind.CHANNEL, 'lobby', ['alice', 'bob']);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.stop();
});

function join(user: string, storage: Storage = new MemoryStorage()): NexusClient {
  const transport = createRouterTransport(server.routes, {
    transport: {
      interceptors: [
        (next) => (request) => {
          request.header.set('authorization', `Bearer ${user}`);
          return next(request);
        },
      ],
    },
  });
  const client = new NexusClient(user, api(transport), storage);
  clients.push(client);
  void client.start();
  return client;
}

const texts = (client: NexusClient) =>
  (client.view('lobby')?.messages ?? []).map((it) => it.content?.text ?? 'deleted');
const settled = (client: NexusClient) =>
  client.view('lobby')?.messages.every((it) => !it.pending && !it.changing) ?? false;
const online = (client: NexusClient) =>
  vi.waitFor(() => expect(client.state().link.state).toBe('online'), { timeout: 5000 });
const shows = (client: NexusClient, expected: readonly string[]) =>
  vi.waitFor(
    () => {
      expect(texts(client)).toEqual(expected);
      expect(settled(client)).toBe(true);
    },
    { timeout: 5000 },
  );
const send = (client: NexusClient, text: string) =>
  client.do('lobby', { type: 'send', text, mentions: [], replyTo: 0 });

it('shows to each what the other says, does and takes back', async () => {
  const [alice, bob] = [join('alice'), join('bob')];
  await online(alice);
  await online(bob);
  send(alice, 'one');
  await shows(bob, ['one']);
  send(bob, 'two');
  await shows(alice, ['one', 'two']);
  const [one, two] = alice.view('lobby')?.messages ?? [];
  alice.do('lobby', { type: 'edit', seq: one?.seq ?? 0, text: 'first', mentions: [] });
  alice.do('lobby', { type: 'react', seq: two?.seq ?? 0, reaction: '👍' });
  await shows(bob, ['first', 'two']);
  await vi.waitFor(() =>
    expect(bob.view('lobby')?.messages[1]?.reactions).toEqual([{ reaction: '👍', users: ['alice'] }]),
  );
  bob.do('lobby', { type: 'delete', seq: two?.seq ?? 0 });
  await shows(alice, ['first', 'deleted']);
});

it('sends a message once, though the answer was lost', async () => {
  const alice = join('alice');
  await online(alice);
  let lost = 2;
  server.fault = (when) => {
    if (when === 'after' && lost-- > 0) throw new ConnectError('who knows', Code.Unavailable);
  };
  send(alice, 'once');
  await vi.waitFor(() => expect(server.received.length).toBeGreaterThan(0));
  await shows(alice, ['once']);
  send(alice, 'next');
  await shows(alice, ['once', 'next']);
  expect(server.log('lobby').events.length).toBe(3);
});

it('keeps what was not sent, and its id, over a reload', async () => {
  const open = () => openStorage('default', 'alice', 'reload');
  const first = join('alice', await open());
  await online(first);
  // The message is committed, the answer and the stream are lost, and then the page is gone.
  server.fault = (when) => {
    if (when === 'after') {
      first.stop();
      throw new ConnectError('who knows', Code.Unavailable);
    }
  };
  send(first, 'once');
  await vi.waitFor(() => expect(server.received.length).toBe(1));
  first.stop();
  server.fault = null;
  const second = join('alice', await open());
  await online(second);
  await shows(second, ['once']);
  expect(new Set(server.received).size).toBe(1);
});

it('sends under one id, though two tabs hold the same message', async () => {
  const storage = await openStorage('default', 'alice', 'tabs');
  const operation = { type: 'send', text: 'from both', mentions: [], replyTo: 0 } as const;
  await storage.addEntry({
    key: '1',
    conversationId: 'lobby',
    operation,
    createdAtMs: 1,
    clientId: null,
    open: 0,
    refusal: null,
    final: false,
  });
  const again = await openStorage('default', 'alice', 'tabs');
  const [one, other] = [join('alice', storage), join('alice', again)];
  await shows(one, ['from both']);
  await shows(other, ['from both']);
  expect(new Set(server.received).size).toBe(1);
  expect(server.log('lobby').events.length).toBe(2);
});

it('shows a refusal, and sends again under a new id only then', async () => {
  const alice = join('alice');
  await online(alice);
  server.fault = () => {
    throw new ConnectError('readers may not write', Code.PermissionDenied);
  };
  send(alice, 'no');
  const refusal = () => alice.view('lobby')?.messages.at(-1)?.pending;
  await vi.waitFor(() => expect(refusal()?.refusal).toBe('readers may not write'));
  server.fault = null;
  alice.retry(refusal()?.key ?? '');
  await shows(alice, ['no']);
  expect(new Set(server.received).size).toBe(2);
});

it('keeps the id when it is refused after an attempt of which nobody knows', async () => {
  const alice = join('alice');
  await online(alice);
  let attempt = 0;
  server.fault = () => {
    attempt += 1;
    throw attempt === 1
      ? new ConnectError('who knows', Code.Unavailable)
      : new ConnectError('no', Code.PermissionDenied);
  };
  send(alice, 'maybe');
  const pending = () => alice.view('lobby')?.messages.at(-1)?.pending;
  await vi.waitFor(() => expect(pending()?.refusal).toBe('no'), { timeout: 3000 });
  server.fault = null;
  alice.retry(pending()?.key ?? '');
  await shows(alice, ['maybe']);
  expect(new Set(server.received).size).toBe(1);
});

it('goes on after the stream broke, without a gap and without a duplicate', async () => {
  const alice = join('alice');
  await online(alice);
  const said = Array.from({ length: 30 }, (_, n) => `message ${n}`);
  said.forEach((text, n) => {
    server.say('lobby', 'bob', text);
    if (n % 10 === 5) server.breakStreams();
  });
  await shows(alice, said);
  expect(server.attached.length).toBeGreaterThan(1);
  for (const cursors of server.attached.slice(1)) expect(cursors).toEqual([['lobby', expect.any(Number)]]);
});

it('is patient with a server that can’t', async () => {
  const alice = join('alice');
  await online(alice);
  server.fault = () => {
    throw new ConnectError('overloaded', Code.Unavailable);
  };
  send(alice, 'later');
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(server.received.length).toBeLessThan(5);
  server.fault = null;
  await shows(alice, ['later']);
});

it('pages when the gap is too long to be pushed', async () => {
  server.pushed = 5;
  const storage = new MemoryStorage();
  const alice = join('alice', storage);
  await online(alice);
  server.say('lobby', 'bob', 'before');
  await shows(alice, ['before']);
  alice.stop();
  const said = Array.from({ length: 120 }, (_, n) => `message ${n}`);
  for (const text of said) server.say('lobby', 'bob', text);
  const again = join('alice', storage);
  await vi.waitFor(() => expect(texts(again).at(-1)).toBe('message 119'));
  expect(again.view('lobby')?.atStart).toBe(false);
  while (!again.view('lobby')?.atStart) await again.loadOlder('lobby');
  expect(texts(again)).toEqual(['before', ...said]);
});

it('drops what it kept when the server’s data is of another log', async () => {
  const storage = await openStorage('default', 'alice', 'another');
  const first = join('alice', storage);
  await online(first);
  for (const text of ['a', 'b', 'c']) server.say('lobby', 'bob', text);
  await shows(first, ['a', 'b', 'c']);
  first.stop();
  server.logs.clear();
  server.open('lobby', ConversationKind.CHANNEL, 'lobby', ['alice', 'bob']);
  for (const text of ['A', 'B', 'C', 'D', 'E']) server.say('lobby', 'bob', text);
  const second = join('alice', storage);
  await shows(second, ['A', 'B', 'C', 'D', 'E']);
});

it('counts what is unread, and no more once it is read', async () => {
  const alice = join('alice');
  await online(alice);
  server.say('lobby', 'bob', 'one');
  server.say('lobby', 'bob', 'two');
  await vi.waitFor(() => expect(alice.state().conversations[0]?.unread).toBe(2));
  alice.read('lobby');
  await vi.waitFor(() => expect(alice.state().conversations[0]?.unread).toBe(0));
  await vi.waitFor(() => expect(server.log('lobby').read.get('alice')).toBe(3));
});

it('takes up a conversation that it is added to while attached', async () => {
  const alice = join('alice');
  await online(alice);
  server.open('new', ConversationKind.GROUP, 'new one', ['bob', 'alice']);
  server.say('new', 'bob', 'hello');
  await vi.waitFor(() => {
    expect(alice.state().conversations.map((it) => it.info.title)).toContain('new one');
    expect(alice.view('new')?.messages.map((it) => it.content?.text)).toEqual(['hello']);
  });
});

it('sends what the browser has no room to keep, and says so', async () => {
  const storage = new MemoryStorage();
  storage.addEntry = () => Promise.reject(new DOMException('no room', 'QuotaExceededError'));
  const alice = join('alice', storage);
  await online(alice);
  send(alice, 'one');
  send(alice, 'two');
  await shows(alice, ['one', 'two']);
  expect(alice.state().notice?.text).toMatch('can’t store');
  expect(new Set(server.received).size).toBe(2);
});

it('sends nothing while its id can’t be kept, and goes on when it can', async () => {
  const storage = new MemoryStorage();
  const { changeEntry } = storage;
  let broken = 2;
  storage.changeEntry = (key, change) => {
    if (broken-- <= 0) return changeEntry(key, change);
    const lost: Promise<never> = Promise.reject(new DOMException('connection lost', 'UnknownError'));
    return lost;
  };
  const alice = join('alice', storage);
  await online(alice);
  send(alice, 'patience');
  await shows(alice, ['patience']);
  expect(server.received.length).toBe(1);
});

it('attaches even if what was kept can’t be read', async () => {
  const storage = new MemoryStorage();
  storage.conversations = () => Promise.reject(new DOMException('broken', 'UnknownError'));
  storage.entries = storage.conversations as never;
  const alice = join('alice', storage);
  await online(alice);
  server.say('lobby', 'bob', 'hello');
  await shows(alice, ['hello']);
});

it('gives a page the same object for a message that did not change', async () => {
  const alice = join('alice');
  await online(alice);
  for (const text of ['a', 'b']) server.say('lobby', 'bob', text);
  await shows(alice, ['a', 'b']);
  const [first] = alice.view('lobby')?.messages ?? [];
  server.say('lobby', 'bob', 'c');
  await shows(alice, ['a', 'b', 'c']);
  expect(alice.view('lobby')?.messages[0]).toBe(first);
});

it('shows people as they want to be shown, and asks for many at once', async () => {
  server.names.set('bob', 'Bob Baker');
  const [alice, tablet] = [join('alice'), join('alice')];
  await online(alice);
  await online(tablet);
  expect(alice.nameOf('bob')).toBe('bob');
  for (const user of ['bob', 'carol', 'bob', 'alice']) alice.wantName(user);
  await vi.waitFor(() => expect(alice.nameOf('bob')).toBe('Bob Baker'));
  alice.wantName('carol');
  expect(server.asked).toEqual([['bob', 'carol', 'alice']]);
  expect(alice.nameOf('carol')).toBe('carol');
  tablet.wantName('alice');
  await alice.rename('Alice Adams');
  expect(alice.nameOf('alice')).toBe('Alice Adams');
  // The other device hears of it.
  const value = { body: { case: 'account' as const, value: { area: AccountArea.PROFILE } } };
  server.push({ case: 'ephemeral', value });
  await vi.waitFor(() => expect(tablet.nameOf('alice')).toBe('Alice Adams'));
  await alice.rename('');
  expect(alice.nameOf('alice')).toBe('alice');
});

it('lets people in by a link, whose secret is made once', async () => {
  server.open('club', ConversationKind.GROUP, 'Club', ['alice']);
  const [alice, bob] = [join('alice'), join('bob')];
  await online(alice);
  await online(bob);
  const link = alice.invitations.newLink();
  const token = await alice.invitations.link('club', link, 0);
  expect(await alice.invitations.link('club', link, 0)).toBe(token);
  expect(link.secret.some((byte) => byte !== 0)).toBe(true);
  expect((await bob.invitations.preview(token)).title).toBe('Club');
  expect(await bob.join(token)).toBe('club');
  expect(bob.state().conversations.map((it) => it.id)).toContain('club');
  await expect(bob.join('another')).rejects.toThrow('no such invitation');
});

it('shows what one is invited to, until it is answered', async () => {
  server.open('club', ConversationKind.GROUP, 'Club', ['alice']);
  server.invited.set('bob', ['club']);
  const bob = join('bob');
  const titles = () => bob.state().invitations.map((it) => it.title);
  await vi.waitFor(() => expect(titles()).toEqual(['Club']));
  const [invitation] = bob.state().invitations;
  if (!invitation) throw new Error('there is none');
  await bob.invitations.decline(invitation);
  expect(titles()).toEqual([]);
  // Another comes while one is attached.
  server.invited.set('bob', ['club']);
  const value = { body: { case: 'account' as const, value: { area: AccountArea.INVITATIONS } } };
  server.push({ case: 'ephemeral', value });
  await vi.waitFor(() => expect(titles()).toEqual(['Club']));
  expect(await bob.join(invitation)).toBe('club');
  await vi.waitFor(() => expect(titles()).toEqual([]));
});
