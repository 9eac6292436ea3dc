// Somebody in front of a browser: what they do and what they see, in the words of a person.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const SEEN_MS = 30_000;

export function openBrowser() {
  return chromium.launch({
    executablePath: process.env.NEXUS_CHROMIUM || '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export class Person {
  /** Opens a browser window of their own and logs in. */
  static async join(browser, server, name, options = {}) {
    const context = await browser.newContext({
      baseURL: server.url,
      ignoreHTTPSErrors: true,
      viewport: { width: 1280, height: 800 },
      ...options,
    });
    const person = new Person(name, context, await context.newPage());
    await person.logIn();
    return person;
  }

  constructor(name, context, page) {
    this.name = name;
    this.context = context;
    this.page = page;
    /** What the browser complained of, besides calls that failed while the server was away. */
    this.complaints = [];
    /** Hosts that the page asked for anything. */
    this.hosts = new Set();
    page.setDefaultTimeout(SEEN_MS);
    page.on('pageerror', (error) => this.complaints.push(String(error.stack ?? error)));
    page.on('request', (request) => this.hosts.add(new URL(request.url()).host));
    page.on('console', (message) => {
      const away = /Failed to load resource|net::ERR/.test(message.text());
      if (['error', 'warning'].includes(message.type()) && !away) this.complaints.push(message.text());
    });
  }

  async logIn() {
    await this.page.goto('/');
    await this.page.getByLabel('Your name').fill(this.name);
    await this.page.keyboard.press('Enter');
    await this.page.locator('.sidebar').waitFor();
  }

  async open(title) {
    await this.page.locator(`.conversation[data-title="${title}"]`).click();
    await this.page.getByRole('heading', { name: title, level: 2 }).waitFor();
  }

  /** Begins a conversation: 'Direct', which has no title, 'Group' or 'Channel'. */
  async create(kind, title, people) {
    await this.page.getByRole('button', { name: 'New conversation' }).click();
    const dialog = this.page.getByRole('dialog');
    await dialog.getByText(kind, { exact: true }).click();
    if (title) await dialog.getByLabel('Title').fill(title);
    await dialog.getByLabel(kind === 'Direct' ? 'With whom?' : 'Who should be in it?').fill(people);
    await dialog.getByRole('button', { name: kind === 'Direct' ? 'Open conversation' : 'Create' }).click();
    await this.page.getByRole('heading', { name: title || people, level: 2 }).waitFor();
  }

  get composer() {
    return this.page.getByRole('textbox', { name: 'Message' });
  }

  async type(text) {
    await this.composer.pressSequentially(text, { delay: 50 });
  }

  async send(text) {
    await this.composer.fill(text);
    await this.composer.press('Enter');
  }

  /** The message with this text. */
  message(text) {
    return this.page.locator('.message').filter({ has: this.page.getByText(text, { exact: true }) });
  }

  /** Does something to a message with the buttons that appear beside it. */
  async act(text, button) {
    await this.message(text).hover();
    await this.message(text).getByRole('button', { name: button, exact: true }).click();
  }

  async react(text, reaction) {
    await this.act(text, 'React');
    await this.page.getByRole('button', { name: `React with ${reaction}` }).click();
  }

  /** Sees this somewhere. */
  async sees(text) {
    await this.page.getByText(text).first().waitFor();
  }

  /** What stands in the timeline, top to bottom. */
  texts() {
    return this.page.locator('.message .text').allInnerTexts();
  }

  /** Whether everything that this person sent has arrived. */
  async settled() {
    return (await this.page.locator('.delivery:not(.sent)').count()) === 0;
  }

  seqs() {
    return this.page.locator('.message').evaluateAll((all) => all.map((it) => Number(it.dataset.seq)));
  }

  /** Sees exactly this, in this order, and nothing twice. */
  async seesExactly(expected) {
    let seen = [];
    await eventually(
      async () => {
        seen = await this.texts();
        return (await this.settled()) && seen.join('\n') === expected.join('\n');
      },
      () => `${this.name} should see\n  ${expected.join('\n  ')}\nbut sees\n  ${seen.join('\n  ')}`,
    );
    const seqs = await this.seqs();
    assert.deepEqual(
      seqs,
      [...new Set(seqs)].sort((a, b) => a - b),
      `${this.name} sees messages twice or out of order`,
    );
  }
}

/** Waits until something is true; says what was expected if it never is. */
export async function eventually(check, expectation) {
  const until = Date.now() + SEEN_MS;
  while (!(await check())) {
    if (Date.now() > until) assert.fail(expectation());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
