import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileDigests } from '../host/file-digests.ts';
import { writeCheckpoint } from '../host/synthetic-checkpoint.ts';
import { HostEngine } from './engine.ts';
import { Server } from './server.ts';

/** What a world is made of. */
export interface ServedWorldOptions {
  readonly ranks: number;
  /** Of the checkpoint. */
  readonly sizeBytes: number;
  readonly tensorBytes: number;
  readonly bucketBytes: number;
}

/** A server with its ranks, an engine for each rank, and a checkpoint on disk. */
export class ServedWorld {
  readonly engines: readonly HostEngine[];
  /** The checkpoint's. */
  readonly folder: string;
  readonly #options: ServedWorldOptions;
  readonly #wanted: ReadonlyMap<string, string>;
  readonly #root: string;
  readonly #seenPids = new Set<number>();
  server!: Server;

  private constructor(
    options: ServedWorldOptions,
    root: string,
    engines: readonly HostEngine[],
    wanted: ReadonlyMap<string, string>,
  ) {
    this.#options = options;
    this.#root = root;
    this.folder = join(root, 'checkpoint');
    this.engines = engines;
    this.#wanted = wanted;
  }

  static async start(options: ServedWorldOptions): Promise<ServedWorld> {
    const root = mkdtempSync(join(tmpdir(), 'checkpoint-engine-served-'));
    const count = Math.max(1, Math.round(options.sizeBytes / options.tensorBytes));
    const sizes = Array<number>(count).fill(options.tensorBytes);
    const { files } = await writeCheckpoint(join(root, 'checkpoint'), sizes, 2);
    const indices = Array.from({ length: options.ranks }, (_, index) => index);
    const engines = await Promise.all(indices.map((index) => HostEngine.start(index, root)));
    const world = new ServedWorld(options, root, engines, await fileDigests(files));
    try {
      await world.startServer();
      return world;
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  /** Starts the server, or the next one after it died. */
  async startServer(): Promise<void> {
    const { ranks, bucketBytes } = this.#options;
    const engineSockets = this.engines.map(({ socket }) => socket);
    this.server = await Server.start({ ranks, engineSockets, bucketBytes });
  }

  /** Tensors that are not as the files have them, in all engines together. */
  async wrong(): Promise<number> {
    const counts = await Promise.all(this.engines.map((engine) => engine.wrong(this.#wanted)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Processes of the server, its ranks and the engines that run now or ran when this was read before. */
  get seenPids(): ReadonlySet<number> {
    for (const pid of [...this.server.pids, ...this.engines.map((engine) => engine.pid)]) this.#seenPids.add(pid);
    return this.#seenPids;
  }

  get tensorCount(): number {
    return this.#wanted.size;
  }

  /** Gives the server's exit status. */
  async end(): Promise<number | null> {
    const status = await this.server?.stop();
    await Promise.all(this.engines.map((engine) => engine.kill()));
    rmSync(this.#root, { recursive: true, force: true });
    return status ?? null;
  }
}
