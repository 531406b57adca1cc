import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '@checkpoint-engine/cli';
import { withDescendants } from './processes.ts';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.resolve('@checkpoint-engine/cli')));

/** How long the server may take to be ready, and a rank to come back. */
const READY_MS = 60_000;
const LOOK_EVERY_MS = 50;

/** An answer of the server. */
export interface Answer {
  readonly status: number;
  /** JSON, or `undefined` for an empty body. */
  readonly body: unknown;
}

/** What a served world is started with. */
export interface ServerOptions {
  readonly ranks: number;
  /** One engine for each rank. */
  readonly engineSockets: readonly string[];
  readonly bucketBytes: number;
}

/** `checkpoint-engine serve`, as users start it, and a client of its API. */
export class Server {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #agent = new Agent({ keepAlive: true });

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** On the host device, beside engines of ours. Resolves when all ranks can work. */
  static start({ ranks, engineSockets, bucketBytes }: ServerOptions): Promise<Server> {
    const args = ['--nproc-per-node', `${ranks}`, '--device', 'host', '--engine', 'worker'];
    args.push('--inference-parallel-size', '1', '--bucket-size', `${bucketBytes}`);
    return Server.startWith([...args, ...engineSockets.flatMap((socket) => ['--engine-uds', socket])]);
  }

  /** With arguments of the command, but for where it listens. Resolves when all ranks can work. */
  static async startWith(args: readonly string[]): Promise<Server> {
    const port = await freePort();
    const all = ['serve', '--listen', `127.0.0.1:${port}`, '--log-level', 'error', ...args];
    const child = spawn(execPath, [MAIN, ...all], { stdio: ['ignore', 'ignore', 'inherit'] });
    const server = new Server(child, port);
    try {
      await server.untilReady();
    } catch (error) {
      await server.kill();
      throw error;
    }
    return server;
  }

  /** Of the server and its ranks. */
  get pids(): number[] {
    return withDescendants(this.#child.pid!);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves when all ranks can work. @param restarts Of all ranks together, at least: a death may not be known yet. */
  async untilReady(restarts = 0): Promise<void> {
    const endsAt = performance.now() + READY_MS;
    for (;;) {
      if (this.#child.exitCode !== null) throw new Error(`The server ended with ${this.#child.exitCode}`);
      const { ready, restarts: seen } = await this.readiness().catch(() => ({ ready: false, restarts: 0 }));
      if (ready && seen >= restarts) return;
      if (performance.now() > endsAt) throw new Error('The server is not ready in time');
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Whether all ranks can work, and how often ranks were restarted, all together. */
  async readiness(): Promise<{ readonly ready: boolean; readonly restarts: number }> {
    const { status, body } = await this.call('GET', '/v1/readyz');
    const { ranks = [] } = Object(body) as { ranks?: readonly { readonly restarts: number }[] };
    return { ready: status === 200, restarts: ranks.reduce((sum, rank) => sum + rank.restarts, 0) };
  }

  /** Asks the server; whatever the status. Rejects when the connection breaks. */
  async call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<Answer> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const call = request({ port: this.port, host: '127.0.0.1', method, path, headers, agent: this.#agent });
    call.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    return { status: response.statusCode!, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
  }

  /** As {@link Server.call}. @throws Where the status is not 200. */
  async ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<unknown> {
    const answer = await this.call(method, path, body);
    if (answer.status === 200) return answer.body;
    throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  }

  async register(name: string, folder: string): Promise<void> {
    await this.ask('POST', `/v1/checkpoints/${name}/files`, { files: [folder] });
    await this.ask('POST', `/v1/checkpoints/${name}/gather-metas`);
  }

  /** Ends it as users do. Gives its exit status. */
  async stop(): Promise<number | null> {
    this.#agent.destroy();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
    return this.#child.exitCode;
  }

  async kill(): Promise<void> {
    this.#agent.destroy();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
