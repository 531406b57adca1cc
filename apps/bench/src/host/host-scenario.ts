import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { floor } from '../floors/floor-program.ts';
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
    const threads = String(availableParallelism());
    const pread = (): number[] => floor(['pread', threads, ...checkpoint.files]).seconds.map((s) => s * 1e3);
    const before = pread();
    const world = await runHostWorld(folder, checkpoint, options);
    const memcpy = (copies: 'once' | 'each'): number[] =>
      floor(['memcpy', String(checkpoint.sizeBytes), String(options.ranks), threads, copies]).seconds.map(
        (s) => s * 1e3,
      );
    const floors = {
      preadMs: [...before.slice(1), ...pread().slice(1)],
      onceMs: memcpy('once'),
      eachMs: memcpy('each'),
    };
    publish(await hostResult(options, checkpoint, world, floors), options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function tensorSizes({ sizeBytes, tensorBytes, largestBytes = 0 }: HostScenarioOptions): number[] {
  const sizes = Array<number>(Math.max(1, Math.round((sizeBytes - largestBytes) / tensorBytes))).fill(tensorBytes);
  if (largestBytes > 0) sizes.splice(Math.floor(sizes.length / 2), 0, largestBytes);
  return sizes;
}
