import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import process from 'node:process';
import { promisify } from 'node:util';
import { type BenchCheckpoint, benchCheckpoint } from '../checkpoints/bench-checkpoint.ts';
import { deviceFloors } from '../floors/device-floors.ts';
import { contextMs } from '../floors/floor-program.ts';
import { formatMs } from '../report/format.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import type { ResultRow } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { runPythonRanks } from '../update/python-ranks.ts';
import type { Receiver } from '../world/receiver.ts';
import { startReceivers, stopReceivers, type WorldOptions } from '../world/receivers.ts';
import { World } from '../world/world.ts';

/** The options of `bench startup`. */
export interface StartupScenarioOptions extends WorldOptions, PublishOptions {
  readonly dataDir: string;
  readonly rounds: number;
  /** Whether to start the Python tool as well. */
  readonly peer: boolean;
}

const WANTED_MS = 1000;

/** Measures the time from the start of a process to the first moved byte, and the share of the GPU's context. */
export async function startupScenario(options: StartupScenarioOptions): Promise<void> {
  const checkpoint = await benchCheckpoint({ model: 'one', dataDir: options.dataDir });
  const { machine } = await deviceFloors(options.device, options.ranks);
  const receivers = await startReceivers(options);
  try {
    const starts: Start[] = [];
    for (let round = 0; round < options.rounds; round++) starts.push(await startOnce(options, receivers, checkpoint));
    const contextFloorMs = options.device === 'cuda' ? contextMs(options.rounds) : [];
    const commandMs = await runCommand(options, receivers, checkpoint);
    const { ranks } = options;
    const rows: ResultRow[] = [
      {
        ...{ by: 'checkpoint-engine', what: 'start to first byte', ranks },
        samplesMs: starts.map(({ totalMs }) => totalMs),
        phasesMs: starts.at(-1)!.phasesMs,
      },
      {
        ...{ by: 'checkpoint-engine', what: "the same without the GPU's context", ranks },
        samplesMs: withoutContext(starts, contextFloorMs),
        note: 'minus the median of the floor below, but at most the time of the device',
      },
      ...(contextFloorMs.length === 0
        ? []
        : [{ by: 'floor: cuInit and a context, plain C', what: 'context', samplesMs: contextFloorMs }]),
      {
        ...{ by: 'checkpoint-engine', what: 'the whole command, one small tensor', ranks, samplesMs: commandMs },
        note: 'checkpoint-engine update, process start to exit',
      },
      ...(options.peer ? await pythonStart(options) : []),
    ];
    const [whole, without] = rows.map(({ samplesMs }) => median(samplesMs));
    publish(
      {
        scenario: 'startup',
        title:
          `The first byte moves ${formatMs(whole!)} after the start of a process` +
          (options.device === 'cuda' ? `, ${formatMs(without!)} without the GPU's context` : ''),
        machine,
        options: { device: options.device, receiver: options.receiver, ranks, rounds: options.rounds },
        rows,
        targets: [
          { what: "start to first byte, without the GPU's context", measured: without!, atMost: WANTED_MS, unit: 'ms' },
        ],
      },
      options,
    );
  } finally {
    await stopReceivers(receivers);
  }
}

interface Start {
  readonly totalMs: number;
  readonly phasesMs: Readonly<Record<string, number>>;
}

async function startOnce(
  options: StartupScenarioOptions,
  receivers: readonly Receiver[],
  { files }: BenchCheckpoint,
): Promise<Start> {
  const world = await World.start(
    options,
    receivers.map(({ engine }) => ({ engine })),
  );
  try {
    const [rank] = await world.started();
    const { durationMs } = await world.register('weights', files);
    const { durationMs: gatherMs } = await world.gather('weights');
    const updates = await world.update('weights', {});
    const firstByteAtMs = updates
      .flatMap(({ events }) => events)
      .reduce((first, event) => (event.type === 'bucket-start' ? Math.min(first, event.atMs) : first), Infinity);
    const totalMs = firstByteAtMs - Math.min(...world.requestedAtMs);
    const { startedAtMs, importsMs, deviceMs, joinMs } = rank!;
    const phasesMs = {
      process: startedAtMs - world.requestedAtMs[0]!,
      imports: importsMs,
      device: deviceMs,
      join: joinMs,
    };
    const knownMs = Object.values(phasesMs).reduce((sum, ms) => sum + ms, 0) + durationMs + gatherMs;
    return {
      totalMs,
      phasesMs: { ...phasesMs, register: durationMs, gather: gatherMs, 'plan and handshake': totalMs - knownMs },
    };
  } finally {
    await world.end();
  }
}

function withoutContext(starts: readonly Start[], floorMs: readonly number[]): number[] {
  const contextOfFloorMs = floorMs.length === 0 ? 0 : median(floorMs);
  return starts.map(({ totalMs, phasesMs }) => totalMs - Math.min(contextOfFloorMs, phasesMs.device ?? 0));
}

/** The command as users run it. */
async function runCommand(
  { device, ranks, rounds }: StartupScenarioOptions,
  receivers: readonly Receiver[],
  { folder }: BenchCheckpoint,
): Promise<number[]> {
  const main = createRequire(import.meta.url)
    .resolve('@checkpoint-engine/cli')
    .replace(/index\.js$/, 'main.js');
  const endpoints = receivers.flatMap(({ engine }) =>
    'vllmUrl' in engine ? ['--endpoint', engine.vllmUrl] : ['--uds', engine.workerSocket],
  );
  const engine = 'vllmUrl' in receivers[0]!.engine ? 'vllm' : 'worker';
  const args = [
    ...['update', '--checkpoint-path', folder, '--nproc-per-node', String(ranks), '--device', device],
    ...['--inference-parallel-size', '1', '--engine', engine, ...endpoints, '--json', '--log-level', 'error'],
  ];
  const samplesMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startedAtMs = performance.now();
    await promisify(execFile)(process.execPath, [main, ...args]);
    samplesMs.push(performance.now() - startedAtMs);
  }
  return samplesMs;
}

async function pythonStart({ python, rounds, dataDir }: StartupScenarioOptions): Promise<ResultRow[]> {
  const samplesMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const [first] = await runPythonRanks<{ ready_s: number }>({
      python,
      script: 'reference.py',
      worldSize: 1,
      args: () => ['--dir', dataDir, '--startup-only'],
    });
    samplesMs.push(first!.ready_s * 1e3);
  }
  return [{ by: 'Python tool, as shipped', what: 'start to a server that is ready to register', samplesMs }];
}
