import { join } from 'node:path';
import type { Logger } from '@checkpoint-engine/interface';
import type { Cleanup } from '@checkpoint-engine/interface/shared';
import { formatBytes } from '@checkpoint-engine/planner';
import type { Environment, MemoryLimits } from '../config/environment.ts';
import type { DeviceKind } from '../config/requests.ts';
import { plural } from '../output/format.ts';
import type { LogSink } from '../output/log.ts';
import type { LogLevel } from '../output/log-options.ts';
import { rankLogLine } from '../output/rank-log-line.ts';
import type { Terminal } from '../output/terminal.ts';
import type { Interrupts } from '../process/interrupts.ts';
import { SupervisedWorld } from '../process/supervised-world.ts';
import { openProgress } from '../progress/open-progress.ts';
import { deliver } from '../update/deliver.ts';
import { updateOutcome } from '../update/update-outcome.ts';
import { DemoFleet } from './demo-fleet.ts';
import { type DemoOutcome, type DemoUpdate, isRight } from './demo-outcome.ts';
import { demoUpdateText, stepText } from './demo-text.ts';
import { fileDigests } from './file-digests.ts';
import { type MadeCheckpoint, makeCheckpoint } from './make-checkpoint.ts';

/** The options of {@link runDemo}. */
export interface RunDemoOptions {
  readonly device: DeviceKind;
  readonly rankCount: number;
  readonly sizeBytes: number;
  /** The folder for checkpoints and sockets. */
  readonly folder: string;
  readonly limits: MemoryLimits;
  readonly logLevel: LogLevel;
  /** Whether to show live progress if the terminal supports it. */
  readonly live: boolean;
  /** Receives the text for users about each step. */
  readonly print: (text: string) => void;
  readonly terminal: Terminal;
  readonly env: Environment;
  readonly sink: LogSink;
  readonly logger: Logger;
  readonly interrupts: Interrupts;
  readonly cleanup: Cleanup;
}

const TIMEOUT_MS = 300_000;
/** Two sets of weights: the second update shows that workers put new bytes into the same memory. */
const SEEDS = ['step-1', 'step-2'];

/** Creates checkpoints, starts workers and ranks, updates and compares. Adds what it starts to `cleanup`. */
export async function runDemo(options: RunDemoOptions): Promise<DemoOutcome> {
  const { device, rankCount, print, terminal } = options;
  const { colors } = terminal.out;
  let stepMs = performance.now();
  const done = (text: string): void => {
    print(stepText(colors, text, performance.now() - stepMs));
    stepMs = performance.now();
  };
  print(
    colors.dim(`Creating ${SEEDS.length} checkpoints of ${formatBytes(options.sizeBytes)} in ${options.folder} ...`),
  );
  const made = await makeCheckpoints(options);
  const { tensorCount, sizeBytes } = made[0]!;
  done(
    `Created ${made.length} checkpoints of ${plural(tensorCount, 'tensor')}, ${formatBytes(sizeBytes)} each, with different bytes`,
  );

  const fleet = options.cleanup.use(await startFleet(options));
  const world = options.cleanup.use(await startWorld(options));
  const on = device === 'cuda' ? 'GPUs' : 'this host';
  done(`Started ${plural(rankCount, 'worker')} and ${plural(rankCount, 'rank')} on ${on}`);

  const updates: DemoUpdate[] = [];
  for (const [index, checkpoint] of made.entries()) {
    const update = await updateAndCompare(options, { fleet, world, checkpoint, name: SEEDS[index]! });
    updates.push(update);
    print(demoUpdateText(update, index, colors));
  }
  return { ok: updates.every(isRight), device, rankCount, tensorCount, totalBytes: sizeBytes, updates };
}

async function makeCheckpoints({ folder, sizeBytes, interrupts }: RunDemoOptions): Promise<MadeCheckpoint[]> {
  const made: MadeCheckpoint[] = [];
  for (const seed of SEEDS) {
    made.push(await makeCheckpoint({ folder: join(folder, seed), sizeBytes, seed, signal: interrupts.asked }));
  }
  return made;
}

function startFleet({ device, rankCount, folder, logLevel, sink }: RunDemoOptions): Promise<DemoFleet> {
  const onLogLine = (line: string): void => sink.writeLine(line);
  return DemoFleet.start({ size: rankCount, device, folder, logLevel, onLogLine });
}

function startWorld({
  device,
  rankCount,
  limits,
  logLevel,
  env,
  sink,
  interrupts,
}: RunDemoOptions): Promise<SupervisedWorld> {
  return SupervisedWorld.start({
    worldSize: rankCount,
    settings: { deviceKind: device, lifetime: 'update', timeoutMs: TIMEOUT_MS, logLevel, ...limits },
    env,
    interrupts,
    onLogLine: (line, rank) => sink.writeLine(rankLogLine(line, rank)),
  });
}

interface DemoStage {
  readonly fleet: DemoFleet;
  readonly world: SupervisedWorld;
  readonly checkpoint: MadeCheckpoint;
  readonly name: string;
}

async function updateAndCompare(options: RunDemoOptions, stage: DemoStage): Promise<DemoUpdate> {
  const { rankCount, live, terminal, sink, logger, interrupts } = options;
  const { fleet, world, checkpoint, name } = stage;
  const progress = await openProgress({ title: `Updating to ${name}`, rankCount, live, terminal, sink, logger });
  try {
    const targets = { engine: 'worker', endpoints: [], uds: fleet.sockets, parallelSize: 1 } as const;
    const { reports } = await deliver(
      world,
      {
        source: { register: { name, files: checkpoint.folder, keepFiles: true, stream: true } },
        updates: [{ targets, timeoutMs: TIMEOUT_MS }],
      },
      {
        signal: interrupts.asked,
        onEvent: (event) => event.type !== 'engine' && progress.onEvent(event),
      },
    );
    await world.call('unregister', { name });
    progress.close();
    const startedAtMs = performance.now();
    const files = await fileDigests(checkpoint.folder, interrupts.asked);
    const compared = await fleet.compare(files);
    interrupts.asked.throwIfAborted();
    const outcome = updateOutcome(rankCount, world.devices, reports[0]!);
    return { outcome, ...compared, compareMs: performance.now() - startedAtMs };
  } finally {
    progress.close();
  }
}
