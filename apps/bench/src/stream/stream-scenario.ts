import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import { readCheckpoint } from '@checkpoint-engine/meta';
import type { ProgressEvent, Stage } from '@checkpoint-engine/ps';
import { floor } from '../floors/floor-program.ts';
import { measureH2d } from '../floors/h2d.ts';
import { describeMachine } from '../report/machine.ts';
import { median } from '../report/statistics.ts';
import { runPythonTool } from '../update/python-tool.ts';
import type { RegisterCall } from '../world/rank.ts';
import type { Receiver } from '../world/receiver.ts';
import { startReceivers, stopReceivers, verify, type WorldOptions } from '../world/receivers.ts';
import { World } from '../world/world.ts';
import { dropFromCache, readDirectly } from './cold-files.ts';
import { printReport, type StreamReport, type StreamRun } from './stream-report.ts';

/** The options of `bench stream`. */
export interface StreamScenarioOptions extends WorldOptions {
  readonly dir: string;
  /** A checkpoint of one small tensor: its update takes the worker's own fixed time. */
  readonly smallDir: string;
  readonly rounds: number;
  /** Whether to drop the files from the page cache before each round. */
  readonly cold: boolean;
  /** Whether to measure registration into the pool as well. */
  readonly pool: boolean;
  readonly peer: boolean;
  readonly threads: number;
  readonly hostMemoryBytes?: number | undefined;
  readonly bucketBytes?: number | undefined;
  readonly json?: string | undefined;
}

const MAX_THREADS = 16;
const NAME = 'weights';

/** Number of threads with which a device reads. */
export const readThreads = (): number => Math.min(availableParallelism(), MAX_THREADS);

/**
 * Measures the streaming update in new processes, from the creation of the device to the last acknowledgement. Compares
 * it with an update through the pool, the Python tool, plain threads that read, and pinned copies.
 */
export async function streamScenario(options: StreamScenarioOptions): Promise<boolean> {
  const { device, ranks, python, cold } = options;
  const files = (await readCheckpoint(options.dir)).files.map(({ path }) => path);
  const receivers = await startReceivers(options);
  try {
    const floors = await measureFloors(options, files);
    // The first update allocates the parameters, so it is not timed.
    await runOnce({ device, receivers, files, stream: {} });
    const workerFixedMs = await fixedTime(options, receivers);
    const streamed: StreamRun[] = [];
    const pooled: StreamRun[] = [];
    for (let round = 0; round < options.rounds; round++) {
      const { bucketBytes, hostMemoryBytes } = options;
      const world = { device, receivers, files, bucketBytes };
      if (cold) dropFromCache(files);
      streamed.push(await runOnce({ ...world, stream: { hostMemoryBytes } }));
      if (!options.pool) continue;
      if (cold) dropFromCache(files);
      pooled.push(await runOnce(world));
    }
    const { wrong } = await verify(receivers, { folder: options.dir, files });
    if (cold) dropFromCache(files);
    const { port } = receivers[0]!;
    const pythonTool =
      options.peer && port !== undefined
        ? (await runPythonTool({ python, folder: options.dir, enginePorts: [port], updates: 3 }))[0]
        : undefined;
    const { hostMemoryBytes = 2 * 2 ** 30 } = options;
    const report: StreamReport = {
      version: 1,
      scenario: 'stream',
      device,
      cold,
      ranks,
      fileCount: files.length,
      hostMemoryBytes,
      ...floors,
      workerFixedMs,
      streamed,
      pooled,
      wrong,
      pythonTool,
    };
    printReport(report);
    if (options.json !== undefined) {
      mkdirSync(dirname(options.json), { recursive: true });
      writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
    }
    return wrong === 0;
  } finally {
    await stopReceivers(receivers);
  }
}

async function measureFloors(
  { device: kind, threads, cold }: StreamScenarioOptions,
  files: readonly string[],
): Promise<Pick<StreamReport, 'machine' | 'sizeBytes' | 'readFloorMs' | 'h2dFloorMs'>> {
  if (cold) dropFromCache(files);
  const read = floor(['pread', String(threads), ...files]);
  let readFloorMs = cold ? read.seconds[0]! * 1e3 : median(read.seconds.slice(1)) * 1e3;
  if (cold) {
    dropFromCache(files);
    readFloorMs = Math.min(readFloorMs, await readDirectly(files));
  }
  const device = kind === 'cuda' ? await createCudaDevice({ index: 0 }) : await createHostDevice();
  try {
    const { rateGBps } = await measureH2d(device);
    const h2dFloorMs = read.bytes / rateGBps / 1e6;
    return { machine: describeMachine(device), sizeBytes: read.bytes, readFloorMs, h2dFloorMs };
  } finally {
    await device.close();
  }
}

async function fixedTime({ device, smallDir }: StreamScenarioOptions, receivers: readonly Receiver[]): Promise<number> {
  const files = (await readCheckpoint(smallDir)).files.map(({ path }) => path);
  const world = await World.start({ device }, [{ engine: receivers[0]!.engine }]);
  try {
    await world.register(NAME, files);
    await world.gather(NAME);
    const updateMs: number[] = [];
    for (let round = 0; round < 5; round++) updateMs.push((await world.update(NAME, {}))[0]!.updateMs);
    return median(updateMs.slice(1));
  } finally {
    await world.end();
  }
}

interface Run {
  readonly device: 'cuda' | 'host';
  readonly receivers: readonly Receiver[];
  readonly files: readonly string[];
  readonly stream?: RegisterCall['stream'];
  readonly bucketBytes?: number | undefined;
}

/** Registers and updates once in new processes. The slowest rank determines the time. */
async function runOnce({ device, receivers, files, stream, bucketBytes }: Run): Promise<StreamRun> {
  const world = await World.start(
    { device },
    receivers.map(({ engine }) => ({ engine })),
  );
  try {
    const started = await world.started();
    const { durationMs: registerMs } = await world.register(NAME, files, stream);
    const { durationMs: gatherMs } = await world.gather(NAME);
    const updates = await world.update(NAME, { bucketBytes });
    const firstAckMs = updates.map(({ events }, rank) => {
      const { startedAtMs, importsMs, deviceMs } = started[rank]!;
      return lastEndMs(events, 'reload') - (startedAtMs + importsMs + deviceMs);
    });
    const { events, result } = updates[0]!;
    return {
      registerMs,
      gatherMs,
      updateMs: Math.max(...updates.map(({ updateMs }) => updateMs)),
      firstAckMs: Math.max(...firstAckMs),
      peakRssBytes: Math.max(...(await world.usage()).map(({ peakResidentBytes }) => peakResidentBytes)),
      result,
      events,
    };
  } finally {
    await world.end();
  }
}

function lastEndMs(of: readonly ProgressEvent[], stage: Stage): number {
  return Math.max(...of.map((event) => (event.type === 'bucket-end' && event.stage === stage ? event.atMs : 0)));
}
