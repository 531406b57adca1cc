import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { traceEvents } from '@checkpoint-engine/cli';
import { listCudaDevices } from '@checkpoint-engine/device';
import { readCheckpoint } from '@checkpoint-engine/meta';
import { formatBytes } from '@checkpoint-engine/planner';
import { freePort } from '../report/free-port.ts';
import { overlapOf } from '../report/overlap.ts';
import { median } from '../report/statistics.ts';
import { printTable } from '../report/table.ts';
import { EngineProcess, type Verification } from '../update/engine-process.ts';
import { message, start } from './children.ts';
import type { RankFigures, RankTask } from './rank-main.ts';
import { sharedGpu } from './shared-gpu.ts';

/** What `bench world` is asked to do. */
export interface WorldScenarioOptions {
  readonly dir: string;
  readonly ranks: number;
  readonly updates: number;
  readonly python: string;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
  readonly stages: 2 | 3 | 'auto';
  readonly releaseCommunicators: boolean;
  /** Where a trace of the last update goes, made of the events that the overlap is worked out from. */
  readonly trace?: string | undefined;
  readonly json?: string | undefined;
}

/** Several ranks over NCCL, each with an unmodified Python worker of its own. */
export async function worldScenario(options: WorldScenarioOptions): Promise<boolean> {
  const cuda = await listCudaDevices();
  if (!cuda.available) throw new Error(`No GPU: ${cuda.reason}`);
  const gpus = cuda.devices.length;
  const checkpoint = await readCheckpoint(options.dir);
  const files = checkpoint.files.map(({ path }) => path);
  const engines: EngineProcess[] = [];
  const ranks: ChildProcess[] = [];
  try {
    for (let rank = 0; rank < options.ranks; rank++) {
      engines.push(await EngineProcess.start(options.python, rank % gpus));
    }
    const port = await freePort();
    for (const [rank, engine] of engines.entries()) {
      const task: RankTask = {
        rank,
        worldSize: options.ranks,
        port,
        files,
        device: rank % gpus,
        engine: { vllmUrl: engine.endpoint },
        registers: 1,
        updates: options.updates,
        bucketBytes: options.bucketBytes,
        deviceMemoryBytes: options.deviceMemoryBytes,
        stages: options.stages,
        releaseCommunicators: options.releaseCommunicators,
      };
      ranks.push(start('rank-main', [JSON.stringify(task)], options.ranks > gpus ? sharedGpu(rank) : {}));
    }
    const figures = await Promise.all(ranks.map((rank) => message<RankFigures>(rank)));
    const verified: Verification[] = [];
    for (const engine of engines) verified.push(await engine.verify(options.dir));
    report(options, gpus, checkpoint.totalBytes, figures, verified);
    return verified.every(({ wrong }) => wrong === 0);
  } finally {
    for (const rank of ranks) if (rank.exitCode === null) setTimeout(() => rank.kill('SIGKILL'), 5_000).unref();
    for (const engine of engines) await engine.stop();
  }
}

function report(
  options: WorldScenarioOptions,
  gpus: number,
  totalBytes: number,
  ranks: readonly RankFigures[],
  verified: readonly Verification[],
): void {
  const updateMs = Array.from({ length: options.updates }, (_, round) =>
    Math.max(...ranks.map((rank) => rank.updateMs[round]!)),
  );
  const last = ranks[0]!.results.at(-1)!;
  const warmMs = median(updateMs.slice(1));
  const overlaps = ranks.map(({ events }) => overlapOf(events));
  const share = (index: number): string =>
    overlaps.map(({ atLeastMs, spanMs }) => `${((atLeastMs[index]! / spanMs) * 100).toFixed(0)} %`).join(', ');
  const wrong = verified.reduce((sum, one) => sum + one.wrong, 0);
  printTable(
    ['what', 'measured', 'beside'],
    [
      ['world', `${options.ranks} ranks on ${gpus} GPUs, --stages ${options.stages}`, formatBytes(totalBytes)],
      ['register', `${Math.max(...ranks.map((rank) => rank.registerMs[0]!)).toFixed(0)} ms`, 'slowest rank'],
      ['gather metas', `${Math.max(...ranks.map((rank) => rank.gatherMs)).toFixed(1)} ms`, ''],
      [
        'update',
        updateMs.map((ms) => `${ms.toFixed(0)} ms`).join(', '),
        `${(totalBytes / warmMs / 1e6).toFixed(1)} GB/s`,
      ],
      ['buckets', `${last.bucketCount} of at most ${formatBytes(last.bucketBytes)}`, last.reason],
      [
        'phases of the last',
        Object.entries(last.durationsMs)
          .map(([name, ms]) => `${name} ${ms.toFixed(0)}`)
          .join(', '),
        'ms',
      ],
      ['two stages at once', share(2), 'of the time, by rank'],
      ['three stages at once', share(3), 'of the time, by rank'],
      [
        '#wrong',
        String(wrong),
        `of ${verified.reduce((sum, one) => sum + one.tensors, 0)} tensors in ${verified.length} workers`,
      ],
    ],
  );
  if (options.trace !== undefined) {
    const events = traceEvents(ranks.flatMap((rank) => rank.events));
    writeFileSync(options.trace, JSON.stringify({ displayTimeUnit: 'ms', traceEvents: events }));
  }
  if (options.json !== undefined) {
    const figures = { version: 1, scenario: 'world', gpus, totalBytes, updateMs, overlaps, wrong, ranks };
    writeFileSync(options.json, `${JSON.stringify(figures)}\n`);
  }
  process.stdout.write(wrong === 0 ? '' : `WRONG: ${JSON.stringify(verified)}\n`);
}
