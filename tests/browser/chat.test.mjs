// Two people, two browser windows, one server.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually, openBrowser, Person } from './person.mjs';
import { Server } from './server.mjs';

let browser;
let server;
let alice;
let bob;

before(async () => {
  [browser, server] = await Promise.all([openBrowser(), Server.start()]);
  alice = await Person.join(browser, server, 'alice');
  bob = await Person.join(browser, server, 'bob');
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

describe('the lobby', () => {
  it('is open to whoever comes, and messages arrive', async () => {
    await alice.open('Lobby');
    await bob.open('Lobby');
    await alice.send('Hello, is anybody here?');
    await bob.sees('Hello, is anybody here?');
    await bob.send('I am!');
    await alice.seesExactly(['Hello, is anybody here?', 'I am!']);
    await bob.seesExactly(['Hello, is anybody here?', 'I am!']);
  });

  it('shows edits, by the arrow key too', async () => {
    await alice.composer.press('ArrowUp');
    assert.equal(await alice.composer.inputValue(), 'Hello, is anybody here?');
    await alice.send('Hello!');
    await bob.seesExactly(['Hello!', 'I am!']);
    await bob.message('Hello!').getByText('edited').waitFor();
  });

  it('shows reactions, and takes them back', async () => {
    await bob.react('Hello!', '🎉');
    const reaction = alice.message('Hello!').getByRole('button', { name: '🎉 1' });
    await reaction.waitFor();
    await reaction.click();
    await bob.message('Hello!').getByRole('button', { name: '🎉 2' }).waitFor();
    await bob.message('Hello!').getByRole('button', { name: '🎉 2' }).click();
    await reaction.waitFor();
  });

  it('quotes what is answered', async () => {
    await alice.act('I am!', 'Reply');
    await alice.send('Good.');
    await bob.message('Good.').locator('.quote').getByText('I am!').waitFor();
  });

  it('shows who types, until they send', async () => {
    // It is told every few seconds and gone soon after: a page that was busy meanwhile sees the next.
    let over = false;
    const seen = alice.page.getByText('bob is typing').waitFor().finally(() => (over = true));
    while (!over) {
      await bob.type('Wait a mom');
    }
    await seen;
    await bob.send('Never mind');
    await alice.page.getByText('bob is typing').waitFor({ state: 'hidden' });
    await alice.sees('Never mind');
  });

  it('deletes when one is sure', async () => {
    await bob.act('Never mind', 'Delete');
    await bob.message('Never mind').getByRole('button', { name: 'Really delete' }).click();
    await alice.seesExactly(['Hello!', 'I am!', 'Good.', 'This message was deleted.']);
  });

  it('says who has read it', async () => {
    await alice.send('Read this');
    await alice.page.getByText('Seen by bob').waitFor();
  });
});

describe('conversations', () => {
  it('appear at once for those who are added, with what is unread', async () => {
    await alice.page.getByRole('button', { name: 'New conversation' }).click();
    await alice.page.getByText('Group', { exact: true }).click();
    await alice.page.getByLabel('Title').fill('Release party');
    await alice.page.getByLabel('Who should be in it?').fill('bob');
    await alice.page.getByRole('button', { name: 'Create' }).click();
    await alice.page.getByRole('heading', { name: 'Release party', level: 2 }).waitFor();
    await alice.send('Who brings the cake?');
    await alice.send('And who the music?');
    const row = bob.page.locator('.conversation[data-title="Release party"]');
    await row.getByLabel('2 unread').waitFor();
    await row.getByText('And who the music?').waitFor();
    await bob.open('Release party');
    await bob.page.locator('.new-line').waitFor();
    await row.getByLabel('unread').waitFor({ state: 'hidden' });
    await bob.seesExactly(['Who brings the cake?', 'And who the music?']);
  });

  it('show who is here', async () => {
    const bobs = alice.page.locator('[data-member="bob"]');
    await bobs.getByRole('img', { name: 'online' }).waitFor();
    await alice.page.getByText('2 of 2 here now').waitFor();
  });

  it('are one for two people, whoever begins', async () => {
    for (const [one, other] of [
      [alice, 'bob'],
      [bob, 'alice'],
    ]) {
      await one.page.getByRole('button', { name: 'New conversation' }).click();
      await one.page.getByLabel('With whom?').fill(other);
      await one.page.getByRole('button', { name: 'Open conversation' }).click();
      await one.page.getByRole('heading', { name: other, level: 2 }).waitFor();
    }
    await alice.send('Just between us');
    await bob.seesExactly(['Just between us']);
  });

  it('load their past as one scrolls up, and keep the place', async () => {
    const said = Array.from({ length: 130 }, (_, n) => `line ${n + 1}`);
    for (const text of said) await alice.send(text);
    await eventually(
      () => alice.settled(),
      () => 'all lines should be sent',
    );
    const again = await Person.join(browser, server, 'bob', { storageState: undefined });
    await again.open('alice');
    await again.sees('line 130');
    assert.ok((await again.texts()).length < 131, 'only the newest page is loaded at first');
    await eventually(
      async () => {
        await again.page.locator('.timeline').evaluate((box) => (box.scrollTop = 0));
        return (await again.texts()).length === 131;
      },
      () => 'scrolling up should bring the beginning',
    );
    await again.seesExactly(['Just between us', ...said]);
    await again.context.close();
  });
});

describe('a link', () => {
  it('lets in whoever has it, and says what it is to', async () => {
    await alice.create('Group', 'Club', 'bob');
    await alice.page.getByRole('button', { name: 'Invite by link' }).click();
    const link = await alice.page.getByLabel('Link').inputValue();
    const frank = await Person.join(browser, server, 'frank');
    await frank.page.goto(link);
    const dialog = frank.page.getByRole('dialog');
    await dialog.getByRole('heading', { name: 'Club' }).waitFor();
    await dialog.getByRole('button', { name: 'Join' }).click();
    await frank.page.getByRole('heading', { name: 'Club', level: 2 }).waitFor();
    await dialog.waitFor({ state: 'detached' });
    await frank.send('Thanks for the link');
    await alice.sees('Thanks for the link');
    await frank.page.goto('/#/join/nonsense');
    await dialog.getByRole('alert').waitFor();
    assert.deepEqual(frank.complaints, []);
    await frank.context.close();
  });
});

describe('people', () => {
  it('are shown as they want to be', async () => {
    await alice.page.getByTitle('How others see you').click();
    const dialog = alice.page.getByRole('dialog');
    await dialog.getByLabel('Name to show').fill('Alice Adams');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await alice.page.locator('.sidebar-foot').getByText('Alice Adams').waitFor();
    const erin = await Person.join(browser, server, 'erin');
    await erin.open('Lobby');
    await alice.open('Lobby');
    await alice.send('Under my own name');
    await erin.sees('Under my own name');
    await erin.page.locator('.message-sender').getByText('Alice Adams').first().waitFor();
    await erin.context.close();
  });
});

describe('the page', () => {
  it('asks nobody but its own server, and the browser has nothing to complain of', () => {
    for (const person of [alice, bob]) {
      assert.deepEqual([...person.hosts], [new URL(server.url).host]);
      assert.deepEqual(person.complaints, []);
    }
  });

  it('logs out, and in again where one was', async () => {
    await bob.page.getByRole('button', { name: 'Log out' }).click();
    await bob.logIn();
    await bob.open('Lobby');
    await bob.sees('Read this');
    await alice.open('Lobby');
  });

  it('works at the width of a phone', async () => {
    const dana = await Person.join(browser, server, 'dana', {
      viewport: { width: 390, height: 780 },
      isMobile: true,
      hasTouch: true,
    });
    await dana.page.locator('.conversation[data-title="Lobby"]').tap();
    await dana.send('From the train');
    await alice.sees('From the train');
    const wide = await dana.page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    assert.equal(wide, false, 'nothing is wider than the screen');
    await dana.page.getByRole('button', { name: 'All conversations' }).tap();
    await dana.page.locator('.conversation[data-title="Lobby"]').waitFor();
    await dana.context.close();
  });
});
