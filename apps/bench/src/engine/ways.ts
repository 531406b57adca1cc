import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { freePort } from '@checkpoint-engine/cli';
import { Server } from './server.ts';

const CLI = fileURLToPath(new URL('./main.js', import.meta.resolve('@checkpoint-engine/cli')));
const PEER = fileURLToPath(new URL('../../python/vllm_peer.py', import.meta.url));
/** Time limit of one process. */
const LIMIT_MS = 240_000;

/** The times of one of our updates. */
export interface OwnUpdate {
  /** From the start of the command to its end, or the time of the request to `serve`. */
  readonly wallMs: number;
  /**
   * `update` is the time that an engine is busy; it includes the other parts except for `register` and `gatherMetas`.
   */
  readonly durationsMs: Readonly<Record<string, number>>;
  readonly bucketCount?: number | undefined;
  readonly bucketBytes?: number | undefined;
  readonly deviceBytes?: number | undefined;
}

/** The state of a completed update in the API. */
interface ServedUpdate {
  readonly durations_ms?: Readonly<Record<string, number>> | undefined;
  readonly bucket_count?: number | undefined;
}

/** `checkpoint-engine update` in a new process, as users run it. */
export async function cliUpdate(
  url: string,
  folder: string,
  ranks: number,
  args: readonly string[],
): Promise<OwnUpdate> {
  const all = ['update', '--checkpoint-path', folder, '--endpoint', url, '--nproc-per-node', `${ranks}`, '--json'];
  const startedAtMs = performance.now();
  const text = await output(execPath, [CLI, ...all, '--keep-files', '--log-level', 'warn', ...args]);
  const wallMs = performance.now() - startedAtMs;
  const { durationsMs, bucketCount, bucketBytes, deviceBytes } = JSON.parse(text) as Omit<OwnUpdate, 'wallMs'>;
  return { wallMs, durationsMs, bucketCount, bucketBytes, deviceBytes };
}

/** `checkpoint-engine serve`, which keeps checkpoints and communicators, and a client of its API. */
export class ServedUpdates {
  /** Times of gathering the metas of each checkpoint, in order. This also prepares workers that pull. */
  readonly gatherMs: number[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts the server and registers checkpoints under their names. */
  static async start(
    url: string,
    folders: Readonly<Record<string, string>>,
    ranks: number,
    args: readonly string[],
  ): Promise<ServedUpdates> {
    const server = await Server.start(['--nproc-per-node', `${ranks}`, '--endpoint', url, ...args]);
    const served = new ServedUpdates(server);
    try {
      for (const [name, folder] of Object.entries(folders)) {
        await server.ask('POST', `/v1/checkpoints/${name}/files`, { files: [folder] });
        const startedAtMs = performance.now();
        await server.ask('POST', `/v1/checkpoints/${name}/gather-metas`);
        served.gatherMs.push(performance.now() - startedAtMs);
      }
    } catch (error) {
      await server.stop();
      throw error;
    }
    return served;
  }

  async update(name: string): Promise<OwnUpdate> {
    const startedAtMs = performance.now();
    await this.#server.ask('POST', `/v1/checkpoints/${name}/update`, {});
    const wallMs = performance.now() - startedAtMs;
    const { updates } = (await this.#server.ask('GET', '/v1/updates')) as { updates: readonly ServedUpdate[] };
    const { durations_ms: parts, bucket_count: bucketCount } = updates[0] ?? {};
    return { wallMs, bucketCount, durationsMs: { ...parts, update: wallMs } };
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }
}

/** The times of the Python tool, in seconds. */
export interface PeerFigures {
  readonly register_s: number;
  readonly gather_s: readonly number[];
  readonly update_s: readonly number[];
}

/** Runs the Python tool under torchrun: one new process per rank, several updates. */
export async function peerUpdates(
  python: string,
  url: string,
  folder: string,
  ranks: number,
  updates: number,
): Promise<PeerFigures> {
  const run = ['-m', 'torch.distributed.run', '--nproc-per-node', `${ranks}`, '--master-port', `${await freePort()}`];
  const text = await output(python, [...run, PEER, '--url', url, '--folder', folder, '--updates', `${updates}`]);
  const line = text.split('\n').findLast((one) => one.startsWith('{'));
  if (line === undefined) throw new Error(`The Python tool printed no figures: ${text.slice(-1000)}`);
  return JSON.parse(line) as PeerFigures;
}

async function output(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT_MS });
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    text.out += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    text.err += String(chunk);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) return text.out;
  throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${text.out.slice(-800)}\n${text.err.slice(-2000)}`);
}
