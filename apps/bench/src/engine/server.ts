import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '@checkpoint-engine/cli';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.resolve('@checkpoint-engine/cli')));

/** Time within which the server must be ready. */
const READY_MS = 60_000;
const POLL_INTERVAL_MS = 50;

/** `checkpoint-engine serve`, as users start it, and a client of its API. */
export class Server {
  readonly #port: number;
  readonly #child: ChildProcess;
  readonly #agent = new Agent({ keepAlive: true });

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.#port = port;
  }

  /** @param args Arguments of the command, without the address to listen at. */
  static async start(args: readonly string[]): Promise<Server> {
    const port = await freePort();
    const all = ['serve', '--listen', `127.0.0.1:${port}`, '--log-level', 'error', ...args];
    const server = new Server(spawn(execPath, [MAIN, ...all], { stdio: ['ignore', 'ignore', 'inherit'] }), port);
    try {
      await server.#untilReady();
      return server;
    } catch (error) {
      await server.#end('SIGKILL');
      throw error;
    }
  }

  async register(name: string, folder: string): Promise<void> {
    await this.ask('POST', `/v1/checkpoints/${name}/files`, { files: [folder] });
    await this.ask('POST', `/v1/checkpoints/${name}/gather-metas`);
  }

  /** Resolves with the body of the answer. @throws {Error} The status is not 200. */
  async ask(method: 'GET' | 'POST', path: string, body?: object): Promise<unknown> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const call = request({ port: this.#port, host: '127.0.0.1', method, path, headers, agent: this.#agent });
    call.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    if (response.statusCode !== 200) throw new Error(`${method} ${path} answered ${response.statusCode}: ${text}`);
    return text === '' ? undefined : (JSON.parse(text) as unknown);
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async #untilReady(): Promise<void> {
    const endsAt = performance.now() + READY_MS;
    for (;;) {
      if (this.#child.exitCode !== null) throw new Error(`The server ended with ${this.#child.exitCode}`);
      if (
        await this.ask('GET', '/v1/readyz').then(
          () => true,
          () => false,
        )
      )
        return;
      if (performance.now() > endsAt) throw new Error(`The server was not ready within ${READY_MS} ms`);
      await sleep(POLL_INTERVAL_MS);
    }
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#agent.destroy();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }
}
