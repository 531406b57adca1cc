import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import { readCheckpoint } from '@checkpoint-engine/meta';
import { floor } from '../floors/floor-program.ts';
import { measureH2d } from '../floors/h2d.ts';
import { describeMachine } from '../report/machine.ts';
import { median } from '../report/statistics.ts';
import { runPythonTool } from '../update/python-tool.ts';
import type { RankFigures } from '../world/rank-main.ts';
import { dropFromCache, readDirectly } from './cold-files.ts';
import { type Receivers, startEngines, startWorkers } from './receivers.ts';
import { runWorld } from './run-world.ts';
import { printReport, type StreamReport, type StreamRun } from './stream-report.ts';

/** What `bench stream` is asked to do. */
export interface StreamScenarioOptions {
  readonly dir: string;
  /** A checkpoint of one small tensor: its update takes the worker's own fixed time. */
  readonly smallDir: string;
  readonly device: 'cuda' | 'host';
  readonly ranks: number;
  readonly rounds: number;
  /** Drop the files from the page cache before each round. */
  readonly cold: boolean;
  /** Also measure registering into the pool. */
  readonly pool: boolean;
  readonly peer: boolean;
  readonly python: string;
  readonly threads: number;
  readonly hostMemoryBytes?: number | undefined;
  readonly bucketBytes?: number | undefined;
  readonly json?: string | undefined;
}

const MOST_THREADS = 16;

/** Threads that a device reads with. */
export const readThreads = (): number => Math.min(availableParallelism(), MOST_THREADS);

/**
 * From files to live weights: the streaming update in fresh processes, from the device made to the last acknowledgement,
 * beside the same through the pool, the Python tool, plain threads that read, and pinned copies.
 */
export async function streamScenario(options: StreamScenarioOptions): Promise<boolean> {
  const { device, ranks, python, cold } = options;
  const files = (await readCheckpoint(options.dir)).files.map(({ path }) => path);
  const receivers =
    device === 'cuda' ? await startEngines(python, ranks, options.dir) : await startWorkers(ranks, files);
  try {
    const floors = await measureFloors(options, files);
    // Parameters are allocated on first sight: that is none of the update's time.
    await runWorld({ device, engines: receivers.engines, files, stream: {} });
    const workerFixedMs = await fixedTime(options, receivers);
    const streamed: StreamRun[] = [];
    const pooled: StreamRun[] = [];
    for (let round = 0; round < options.rounds; round++) {
      const { bucketBytes, hostMemoryBytes } = options;
      const world = { device, engines: receivers.engines, files, bucketBytes };
      if (cold) dropFromCache(files);
      streamed.push(runOf(await runWorld({ ...world, stream: { hostMemoryBytes } })));
      if (!options.pool) continue;
      if (cold) dropFromCache(files);
      pooled.push(runOf(await runWorld(world)));
    }
    const wrong = await receivers.wrong();
    if (cold) dropFromCache(files);
    const pythonTool =
      options.peer && receivers.port !== undefined
        ? (await runPythonTool({ python, folder: options.dir, enginePorts: [receivers.port], updates: 3 }))[0]
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
    await receivers.stop();
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

async function fixedTime({ device, smallDir }: StreamScenarioOptions, { engines }: Receivers): Promise<number> {
  const files = (await readCheckpoint(smallDir)).files.map(({ path }) => path);
  const figures = await runWorld({ device, engines: engines.slice(0, 1), files, updates: 5 });
  return median(figures[0]!.updateMs.slice(1));
}

/** A world is as slow as its slowest rank. */
function runOf(ranks: readonly RankFigures[]): StreamRun {
  const slowest = (of: (rank: RankFigures) => number): number => Math.max(...ranks.map(of));
  const { events, results } = ranks[0]!;
  return {
    registerMs: slowest(({ registerMs }) => registerMs[0]!),
    gatherMs: slowest(({ gatherMs }) => gatherMs),
    updateMs: slowest(({ updateMs }) => updateMs[0]!),
    firstAckMs: slowest(({ firstAckMs }) => firstAckMs),
    peakRssBytes: slowest(({ peakRssBytes }) => peakRssBytes),
    result: results[0]!,
    events,
  };
}
