// Makes the README's picture, docs/web.png, from a real conversation of four people. `npm run screenshots`; a folder as
// the argument gets, beside the picture, the page at the widths of a tablet and a phone, light and dark.

import path from 'node:path';
import { openBrowser, Person } from './person.mjs';
import { Server } from './server.mjs';

const folder = process.argv[2];
const picture = path.resolve(folder ?? path.join(import.meta.dirname, '../../docs'), 'web.png');

const server = await Server.start();
const browser = await openBrowser();
try {
  const look = { viewport: { width: 1200, height: 760 }, deviceScaleFactor: 2, colorScheme: 'light' };
  const alice = await Person.join(browser, server, 'alice', look);
  const bob = await Person.join(browser, server, 'bob');
  const carol = await Person.join(browser, server, 'carol');
  const dana = await Person.join(browser, server, 'dana');

  const says = async (who, text, ...others) => {
    await who.send(text);
    for (const other of others) await other.sees(text);
  };
  await bob.open('Lobby');
  await says(bob, 'On my way, the train is late');
  await alice.create('Group', 'Release party', 'bob, carol');
  await bob.open('Release party');
  await says(bob, 'I’ll bring the cake 🎂');
  await alice.create('Group', 'Cluster', 'bob, carol, dana');
  for (const who of [bob, carol, dana]) await who.open('Cluster');

  await says(carol, 'The new cluster is up, in two zones.', alice);
  await says(carol, 'I pulled the plug on one of them. Twice.', alice);
  await says(alice, 'And? Did anything go missing?', carol);
  const verdict = 'Nothing. Every acknowledged message is there, in order.';
  await says(carol, verdict, alice, bob, dana);
  await bob.react(verdict, '🎉');
  await alice.react(verdict, '🎉');
  await dana.react(verdict, '👀');
  await bob.act(verdict, 'Reply');
  await says(bob, 'I didn’t believe it, so I ran `nexus check` with kill -9 in a loop. Not one gap.');
  await dana.sees('Not one gap');
  await says(dana, 'Then it is settled, @alice: we ship on Thursday.');
  await alice.sees('Then it is settled');
  await says(alice, 'We do.', bob, carol, dana);
  await carol.create('Direct', '', 'alice');
  await says(carol, 'Do you have a minute?');
  await alice.sees('Do you have a minute?');
  await alice.open('Cluster');
  for (const who of [bob, carol, dana]) {
    await who.page.bringToFront();
    await who.open('Cluster');
  }
  await alice.page.bringToFront();
  await alice.sees('Seen by bob, carol and dana');
  await bob.type('Now who');
  await alice.sees('bob is typing');
  await alice.page.mouse.move(0, 0);
  await alice.page.screenshot({ path: picture });
  console.log(`made ${picture}`);

  if (folder) {
    await alice.page.getByRole('button', { name: 'Members' }).click();
    for (const [width, height] of [
      [768, 1024],
      [390, 844],
      [360, 740],
    ]) {
      await alice.page.setViewportSize({ width, height });
      for (const colorScheme of ['light', 'dark']) {
        await alice.page.emulateMedia({ colorScheme });
        await alice.page.screenshot({ path: path.join(folder, `${width}-${colorScheme}.png`) });
      }
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
