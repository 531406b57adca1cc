import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createHostDevice } from '@checkpoint-engine/device';
import { type EngineRequest, localStore, ParameterServer, v2Protocol, vllmEngine } from '@checkpoint-engine/ps';

const CLI = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

/** The output of the command. */
export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command, as a user would. */
export async function runCommand(args: readonly string[]): Promise<CommandResult> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [CLI, ...args], { timeout: 240_000 });
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: number; stdout?: string; stderr?: string };
    return { status: code ?? -1, stdout, stderr };
  }
}

/** Options of {@link disturbedUpdate}. */
export interface Disturbance {
  readonly checkpoint: string;
  readonly url: string;
  /** Called once, when the worker has loaded its second bucket. */
  readonly disturb?: (abort: (reason: Error) => void) => void;
  /** Sends the request to the engine, instead of vLLM's client. */
  readonly request?: (request: EngineRequest) => Promise<void>;
}

/** The pulled bytes of an update. */
export interface PulledUpdate {
  readonly method: string;
  readonly pulledBytes: number;
}

/** Updates an engine with several checkpoints, one after the other, from pools that its workers can pull from. */
export async function pullingUpdates(
  url: string,
  checkpoints: readonly string[],
  after: (index: number) => Promise<void>,
): Promise<PulledUpdate[]> {
  const device = await createHostDevice();
  const store = localStore();
  const server = await ParameterServer.create({ store, device, protocol: v2Protocol(), sharePools: true });
  const engine = vllmEngine({ endpoints: [{ url }] });
  const updates: PulledUpdate[] = [];
  try {
    for (const [index, files] of checkpoints.entries()) {
      await server.registerCheckpoint(`pulled-${index}`, { files });
      await server.gatherMetas(`pulled-${index}`);
      const requestEngine = (asked: EngineRequest): Promise<void> => engine.update(asked);
      const result = await server.update(`pulled-${index}`, { requestEngine, timeoutMs: 120_000 });
      updates.push({ method: result.method, pulledBytes: result.pulledBytes });
      await after(index);
      await server.unregisterCheckpoint(`pulled-${index}`, { force: true });
    }
    return updates;
  } finally {
    await server.close();
    await store.close();
    await device.close();
  }
}

/** Updates an engine through the library, in buckets of one tensor, and disturbs the running update. */
export async function disturbedUpdate({ checkpoint, url, disturb, request }: Disturbance): Promise<void> {
  const device = await createHostDevice();
  const store = localStore();
  const server = await ParameterServer.create({ store, device, protocol: v2Protocol() });
  const engine = vllmEngine({ endpoints: [{ url }] });
  const stop = new AbortController();
  let loaded = 0;
  try {
    await server.registerCheckpoint('disturbed', { files: checkpoint });
    await server.gatherMetas('disturbed');
    await server.update('disturbed', {
      requestEngine: request ?? ((asked) => engine.update(asked)),
      bucketBytes: 1024 * 1024,
      timeoutMs: 120_000,
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type !== 'bucket-end' || event.stage !== 'reload') return;
        loaded += 1;
        if (loaded === 2) disturb?.((reason) => stop.abort(reason));
      },
    });
  } finally {
    await server.close();
    await store.close();
    await device.close();
  }
}
