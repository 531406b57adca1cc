import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../../tools/test/free-port.ts';
import { smallCheckpoint, temporaryFolder, tensorDigests } from '../checkpoints.ts';
import { startTestWorker, type TestWorker } from '../demo-worker.ts';
import { rankProcesses } from '../processes.ts';
import { type Answer, startServer, type TestServer } from '../serve-process.ts';

/** Time within which all ranks must be ready. */
const READY_MS = 60_000;
const POLL_INTERVAL_MS = 50;

/** Sizes of a world. */
export interface ServedWorldOptions {
  readonly ranks: number;
  readonly checkpointBytes: number;
  readonly bucketBytes: number;
}

/** `serve` with its ranks, an engine per rank, and a checkpoint on disk. */
export class ServedWorld {
  readonly engines: TestWorker[] = [];
  /** The folder of the checkpoint. */
  readonly folder: string;
  server!: TestServer;
  readonly #options: ServedWorldOptions;
  readonly #wanted: ReadonlyMap<string, string>;
  readonly #root: string;
  readonly #remove: () => Promise<void>;
  readonly #seenPids = new Set<number>();

  private constructor(
    options: ServedWorldOptions,
    root: string,
    remove: () => Promise<void>,
    wanted: ReadonlyMap<string, string>,
  ) {
    this.#options = options;
    this.#root = root;
    this.#remove = remove;
    this.folder = join(root, 'checkpoint');
    this.#wanted = wanted;
  }

  static async start(options: ServedWorldOptions): Promise<ServedWorld> {
    const { folder, remove } = await temporaryFolder();
    const checkpoint = await smallCheckpoint(join(folder, 'checkpoint'), 'served', options.checkpointBytes);
    const world = new ServedWorld(options, folder, remove, await tensorDigests(checkpoint));
    try {
      for (let rank = 0; rank < options.ranks; rank++) await world.startEngine(rank);
      await world.startServer();
      return world;
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  /** The address of an engine. */
  socketOf(rank: number): string {
    return join(this.#root, `engine-${rank}.sock`);
  }

  /** Starts an engine, or starts it again after it died. */
  async startEngine(rank: number): Promise<void> {
    rmSync(this.socketOf(rank), { force: true });
    this.engines[rank] = await startTestWorker(rank, this.socketOf(rank));
  }

  /** Starts the server, or starts it again after it died. Resolves when all ranks are ready. */
  async startServer(): Promise<void> {
    const { ranks, bucketBytes } = this.#options;
    const args = ['--listen', `127.0.0.1:${await freePort()}`, '--nproc-per-node', `${ranks}`, '--engine', 'worker'];
    args.push('--inference-parallel-size', '1', '--bucket-size', `${bucketBytes}`, '--allow-path', this.#root);
    for (let rank = 0; rank < ranks; rank++) args.push('--engine-uds', this.socketOf(rank));
    this.server = await startServer(args, { keepAlive: true });
    await this.untilReady();
  }

  get serverPid(): number {
    return this.server.running.child.pid!;
  }

  /** Processes of the server and its ranks. */
  get worldPids(): number[] {
    return [this.serverPid, ...rankProcesses(this.serverPid).values()];
  }

  /** Processes of the server, its ranks and the engines that run now, or ran at an earlier read of this property. */
  get seenPids(): ReadonlySet<number> {
    for (const pid of [...this.worldPids, ...this.engines.map((engine) => engine.pid)]) this.#seenPids.add(pid);
    return this.#seenPids;
  }

  /** @param restarts Of all ranks together, at least: the server may not know of a death yet. */
  async untilReady(restarts = 0): Promise<void> {
    const endsAt = performance.now() + READY_MS;
    for (;;) {
      const { ready, restarts: seen } = await this.readiness();
      if (ready && seen >= restarts) return;
      if (performance.now() > endsAt) throw new Error(`The ranks were not ready within ${READY_MS} ms`);
      await sleep(POLL_INTERVAL_MS);
    }
  }

  /** Whether all ranks can work, and the number of restarts of all ranks together. */
  async readiness(): Promise<{ readonly ready: boolean; readonly restarts: number }> {
    const { status, json } = await this.server.call('GET', '/v1/readyz');
    const { ranks = [] } = json<{ ranks?: readonly { readonly restarts: number }[] }>();
    return { ready: status === 200, restarts: ranks.reduce((sum, rank) => sum + rank.restarts, 0) };
  }

  async register(name: string): Promise<void> {
    await this.ask('POST', `/v1/checkpoints/${name}/files`, { files: [this.folder] });
    await this.ask('POST', `/v1/checkpoints/${name}/gather-metas`);
  }

  /** Asks the server. @throws {Error} The status is not 200. */
  async ask(method: string, path: string, body?: object): Promise<Answer> {
    const answer = await this.server.call(method, path, body);
    if (answer.status === 200) return answer;
    throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text}`);
  }

  /** Tensors that differ from the files, in all engines together. */
  async wrong(): Promise<number> {
    let wrong = 0;
    for (const engine of this.engines) {
      const held = await engine.digests();
      wrong += [...this.#wanted].filter(([name, digest]) => held.get(name) !== digest).length;
    }
    return wrong;
  }

  async killServer(): Promise<void> {
    await this.#endServer('SIGKILL');
  }

  /** Resolves with the exit status of the server. */
  async end(): Promise<number | null> {
    const status = await this.#endServer('SIGTERM');
    await Promise.all(this.engines.map((engine) => engine.kill()));
    await this.#remove();
    return status;
  }

  async #endServer(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.server?.running.child;
    if (child === undefined) return null;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }
}
