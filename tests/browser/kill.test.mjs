// The server dies, and comes back. Nothing acknowledged is gone, nothing is there twice.

import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { eventually, openBrowser, Person } from './person.mjs';
import { Server } from './server.mjs';

let browser;
let server;
let alice;
let bob;
const said = [];

before(async () => {
  [browser, server] = await Promise.all([openBrowser(), Server.start()]);
  alice = await Person.join(browser, server, 'alice');
  bob = await Person.join(browser, server, 'bob');
  await alice.open('Lobby');
  await bob.open('Lobby');
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function say(text) {
  said.push(text);
  await alice.send(text);
}

it('goes on by itself after kill -9 in the middle of sending', async () => {
  for (let round = 1; round <= 3; round += 1) {
    let dead = Promise.resolve();
    for (let n = 1; n <= 12; n += 1) {
      await say(`round ${round}, message ${n}`);
      if (n === 6) dead = server.kill();
    }
    await dead;
    await alice.page.getByText(/Reconnecting/).waitFor();
    await bob.page.getByText(/Reconnecting/).waitFor();
    await say(`round ${round}, while it was away`);
    await alice.page.getByLabel('sending').first().waitFor();
    await server.start();
    await alice.seesExactly(said);
    await bob.seesExactly(said);
    await alice.page.locator('.banner').waitFor({ state: 'hidden' });
  }
});

it('keeps what was not sent when the page is reloaded meanwhile', async () => {
  await server.kill();
  await alice.page.getByText(/Reconnecting/).waitFor();
  await say('written while the server was away');
  await alice.page.getByLabel('sending').waitFor();
  await server.start();
  // At once: whether the message is on its way or not, it arrives once.
  await alice.page.reload();
  let seen = [];
  await eventually(
    async () => {
      seen = await alice.texts();
      // How much of the past is here already is not asked; what is here ends as it should.
      const same = seen.join('\n') === said.slice(-seen.length).join('\n');
      return seen.length > 0 && same && (await alice.settled());
    },
    () => `the last messages should be here, each once, but alice sees\n  ${seen.join('\n  ')}`,
  );
  await eventually(
    async () => {
      await alice.page.locator('.timeline').evaluate((box) => (box.scrollTop = 0));
      return (await alice.texts()).length === said.length;
    },
    () => 'scrolling up should bring everything',
  );
  await alice.seesExactly(said);
  await bob.seesExactly(said);
});

it('carries edits and reactions over the gap', async () => {
  const last = said.at(-1);
  await server.kill();
  await alice.page.getByText(/Reconnecting/).waitFor();
  await alice.composer.press('ArrowUp');
  await alice.send('edited while the server was away');
  said[said.length - 1] = 'edited while the server was away';
  await bob.react(last, '❤️');
  await server.start();
  await alice.seesExactly(said);
  await bob.seesExactly(said);
  await alice.message(said.at(-1)).getByRole('button', { name: '❤️ 1' }).waitFor();
  assert.deepEqual([...alice.complaints, ...bob.complaints], []);
});
