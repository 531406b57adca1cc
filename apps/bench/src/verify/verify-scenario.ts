import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice } from '@checkpoint-engine/device';
import { formatBytes } from '@checkpoint-engine/planner';
import type { VerifyMode } from '@checkpoint-engine/ps';
import { fileDigests } from '../checkpoints/file-digests.ts';
import { type SyntheticCheckpoint, writeCheckpoint } from '../checkpoints/synthetic-checkpoint.ts';
import { warmMemory } from '../floors/floor-program.ts';
import { describeMachine } from '../report/machine.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import type { ResultRow, Target } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { memoryFloors } from './memory-floors.ts';
import { startVerifyWorld } from './verify-world.ts';

/** The options of `bench verify`. */
export interface VerifyScenarioOptions extends PublishOptions {
  readonly sizeBytes: number;
  readonly tensorBytes: number;
  readonly rounds: number;
}

const MODES: readonly VerifyMode[] = ['off', 'sample', 'full'];
/** Updates take a fraction of the time of a registration, and vary more. */
const UPDATE_ROUNDS = 4;
const OURS = 'checkpoint-engine';
/**
 * Copies of an update. Full verification reads the destination of each copy once more: in the ring, or in the worker.
 */
const COPIES = { pull: 1, buckets: 2 } as const;

/** Measures the cost of digests in registrations and updates on the host device, with and without them in turns. */
export async function verifyScenario(options: VerifyScenarioOptions): Promise<void> {
  const { sizeBytes, tensorBytes, rounds } = options;
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  try {
    const sizes = Array<number>(Math.max(1, Math.round(sizeBytes / tensorBytes))).fill(tensorBytes);
    const checkpoint = await writeCheckpoint(folder, sizes, 4);
    const rows: ResultRow[] = [];
    const targets: Target[] = [];
    for (const method of ['pull', 'buckets'] as const) {
      const measured = await measure(method, checkpoint, rounds);
      rows.push(...measured);
      targets.push(...targetsOf(method, measured));
    }
    const device = await createHostDevice();
    const machine = describeMachine(device);
    await device.close();
    const sampled = targets.find(({ what }) => what.startsWith('pull, sample'))!.measured;
    publish(
      {
        scenario: 'verify',
        title: `A pull of ${formatBytes(checkpoint.sizeBytes)} takes ${sampled.toFixed(2)} x as long with samples`,
        machine,
        options: { sizeBytes, tensorBytes, rounds },
        rows,
        targets,
        notes: [
          'Modes take turns in each round, and each round begins with another one. A target is the median over the rounds of the ratio in one round, because other programs slow down a complete round. Updates of the host device are copies in memory. Full verification reads all bytes once more, so it cannot be free: its floor is the copies and one more read.',
        ],
      },
      options,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  method: 'pull' | 'buckets',
  { files, sizeBytes }: SyntheticCheckpoint,
  rounds: number,
): Promise<ResultRow[]> {
  const world = await startVerifyWorld(method);
  const wanted = await fileDigests(files);
  const floors = await memoryFloors(sizeBytes);
  const [copyMs, digestMs]: [number[], number[]] = [[], []];
  const registers = new Map<boolean, number[]>([
    [false, []],
    [true, []],
  ]);
  const updates = new Map<VerifyMode, number[]>(MODES.map((mode) => [mode, []]));
  const figures = new Map<VerifyMode, Record<string, number>>();
  try {
    for (let round = 0; round <= rounds; round++) {
      // The last registration has digests.
      for (const digests of (rounds - round) % 2 === 0 ? [false, true] : [true, false]) {
        warmMemory(sizeBytes, 2);
        registers.get(digests)!.push(await world.register(files, digests));
      }
    }
    for (let round = 0; round <= rounds * UPDATE_ROUNDS; round++) {
      copyMs.push(await floors.copyMs());
      digestMs.push(await floors.digestMs());
      for (const turn of MODES.keys()) {
        const mode = MODES[(round + turn) % MODES.length]!;
        const { ms, result } = await world.update(mode);
        updates.get(mode)!.push(ms);
        const { arrivedBytes = 0, heldBytes = 0, unverifiedTensors = 0 } = result.verified ?? {};
        figures.set(mode, { arrivedBytes, heldBytes, unverifiedTensors });
      }
    }
    const held = await world.held();
    const wrong = [...wanted].filter(([name, digest]) => held.get(name) !== digest).length;
    const figuresOf = (ms: readonly number[]) => ({ samplesMs: ms.slice(1), warmupMs: ms.slice(0, 1), sizeBytes });
    const row = (what: string, verify: string, ms: readonly number[]): ResultRow => {
      return { by: OURS, what, settings: { method, verify }, ...figuresOf(ms) };
    };
    const floor = (what: string, by: string, ms: readonly number[]): ResultRow => {
      return { by: `floor: ${by}`, what, settings: { method }, ...figuresOf(ms) };
    };
    return [
      floor('copy', 'one copy in memory', copyMs),
      floor('digest', 'one read that digests', digestMs),
      ...[...registers].map(([digests, ms]) => row('register', digests ? 'digests' : 'off', ms)),
      ...[...updates].map(([mode, ms]) => ({
        ...row('update', mode, ms),
        ...{ figures: figures.get(mode)!, checked: wanted.size, wrong },
      })),
    ];
  } finally {
    await floors.close();
    await world.close();
  }
}

function targetsOf(method: 'pull' | 'buckets', rows: readonly ResultRow[]): Target[] {
  const samplesOf = (what: string, verify?: string): readonly number[] =>
    rows.find((row) => row.what === what && row.settings?.verify === verify)!.samplesMs;
  const ratio = (of: readonly number[], over: readonly number[]): number =>
    median(of.map((ms, round) => ms / over[round]!));
  const [off, copies] = [samplesOf('update', 'off'), samplesOf('copy').map((ms) => COPIES[method] * ms)];
  const floor = 1 + ratio(samplesOf('digest'), copies);
  const full = ratio(samplesOf('update', 'full'), off);
  const target = (what: string, measured: number, atMost: number): Target => {
    return { what: `${method}, ${what}`, measured, atMost, unit: 'x' };
  };
  return [
    target('sample: over an update without verification', ratio(samplesOf('update', 'sample'), off), 1.03),
    target('full: over an update without verification', full, 1.1),
    target(`full: the same over its floor of ${floor.toFixed(2)} x`, full / floor, 1.05),
    target(
      'registration with digests over one without',
      ratio(samplesOf('register', 'digests'), samplesOf('register', 'off')),
      1.05,
    ),
  ];
}
