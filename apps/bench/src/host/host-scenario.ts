import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { floor } from '../floors/floor-program.ts';
import { readFloorMs } from '../floors/read-floor.ts';
import { publish } from '../report/publish.ts';
import { hostResult } from './host-result.ts';
import { runHostWorld } from './run-host-world.ts';
import { writeCheckpoint } from './synthetic-checkpoint.ts';

/** What `bench host` is asked to do. */
export interface HostScenarioOptions {
  readonly sizeBytes: number;
  readonly tensorBytes: number;
  /** One tensor of this size among the others. */
  readonly largestBytes?: number | undefined;
  readonly shards: number;
  readonly ranks: number;
  readonly registers: number;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
  readonly json?: string | undefined;
}

/** N ranks and N workers on the host device, beside plain threads that copy and read the same bytes. */
export async function hostScenario(options: HostScenarioOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  try {
    const checkpoint = await writeCheckpoint(folder, tensorSizes(options), options.shards);
    const threads = availableParallelism();
    const { sizeBytes, files } = checkpoint;
    const memcpy = (copies: 'once' | 'each'): number[] =>
      warmRounds(['memcpy', String(sizeBytes), String(options.ranks), String(threads), copies]);
    const preadMs: number[] = [];
    // Floor and ranks take turns.
    const beforeRegister = async (): Promise<void> => {
      preadMs.push(await readFloorMs(files, sizeBytes, threads));
    };
    // What a machine that is shared gives changes within minutes: floors are taken on both sides.
    const onceBefore = memcpy('once');
    const world = await runHostWorld(folder, checkpoint, { ...options, beforeRegister });
    const floors = {
      // The first registration warms up, and its floor goes with it.
      preadMs: preadMs.slice(options.registers > 1 ? 1 : 0),
      onceMs: [...onceBefore, ...memcpy('once')],
      eachMs: memcpy('each'),
    };
    publish(await hostResult(options, checkpoint, world, floors), options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Milliseconds of the floor program's rounds, without the first. */
function warmRounds(args: readonly string[]): number[] {
  return floor(args)
    .seconds.slice(1)
    .map((seconds) => seconds * 1e3);
}

function tensorSizes({ sizeBytes, tensorBytes, largestBytes = 0 }: HostScenarioOptions): number[] {
  const sizes = Array<number>(Math.max(1, Math.round((sizeBytes - largestBytes) / tensorBytes))).fill(tensorBytes);
  if (largestBytes > 0) sizes.splice(Math.floor(sizes.length / 2), 0, largestBytes);
  return sizes;
}
