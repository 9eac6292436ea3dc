// A real Nexus, on a free port and in a directory of its own, that can be killed and started again.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const START_MS = 30_000;

/** The program to test: NEXUS_BIN, or the release build of this repository. */
const program = process.env.NEXUS_BIN ?? path.resolve(import.meta.dirname, '../../target/release/nexus');

export class Server {
  static async start() {
    const data = await mkdtemp(path.join(os.tmpdir(), 'nexus-browser-'));
    const server = new Server(data, await freePort());
    await server.start();
    return server;
  }

  constructor(data, port) {
    this.data = data;
    this.port = port;
    this.url = `https://localhost:${port}`;
  }

  /** Starts it on the port and the data that it had before. */
  async start() {
    this.log = '';
    const { PATH, HOME } = process.env;
    this.process = spawn(program, [], {
      cwd: this.data,
      env: {
        PATH,
        HOME,
        NEXUS_GATEWAY_LISTEN: `127.0.0.1:${this.port}`,
        NEXUS_GATEWAY_REDIRECT: 'off',
        NEXUS_GATEWAY_ADMIN: 'off',
        NEXUS_CORE_ADMIN: 'off',
        NEXUS_CORE_DATA: path.join(this.data, 'data'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', (text) => (this.log += text));
    }
    this.exited = once(this.process, 'exit');
    const failed = this.exited.then(() => {
      throw new Error(`${program} ended before it was ready:\n${this.log}`);
    });
    await Promise.race([this.#ready(), failed]);
    failed.catch(() => undefined);
  }

  /** As a power cut does: nothing is said, nothing is flushed. */
  async kill() {
    this.process.kill('SIGKILL');
    await this.exited;
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.exited;
    await rm(this.data, { recursive: true, force: true });
  }

  /** Waits until the page is served. */
  async #ready() {
    const until = Date.now() + START_MS;
    for (;;) {
      const status = await get(this.url).catch(() => 0);
      if (status === 200) return;
      if (status === 404) throw new Error(`${program} was built without the web page`);
      if (Date.now() > until) throw new Error(`${program} did not become ready:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function freePort() {
  const socket = net.createServer().listen(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** The status of a page; its certificate is of the server's own making. */
function get(url) {
  return new Promise((resolve, reject) => {
    const request = https.get(
      url,
      { rejectUnauthorized: false, agent: false, timeout: 2_000 },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', reject);
  });
}
