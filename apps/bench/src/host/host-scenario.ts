import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeCheckpoint } from '../checkpoints/synthetic-checkpoint.ts';
import { type FloorInTurns, floorInTurns } from '../floors/floor-program.ts';
import { readFloorMs } from '../floors/read-floor.ts';
import { publish } from '../report/publish.ts';
import type { HostScenarioOptions } from './host-options.ts';
import { hostResult } from './host-result.ts';
import { measureHost } from './measure-host.ts';

/** N ranks and N workers on the host device, compared with plain threads that copy and read the same bytes. */
export async function hostScenario(options: HostScenarioOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  try {
    const checkpoint = await writeCheckpoint(folder, tensorSizes(options), options.shards);
    const threads = availableParallelism();
    const { sizeBytes, files } = checkpoint;
    const preadMs: number[] = [];
    // Floor and ranks take turns.
    const beforeRegister = async (): Promise<void> => {
      preadMs.push(await readFloorMs(files, sizeBytes, threads));
    };
    const onceMs: number[] = [];
    const eachMs: number[] = [];
    const copies = (of: 'once' | 'each'): FloorInTurns => copiesInTurns(of, options.ranks, threads, sizeBytes);
    const [onceFloor, eachFloor] = [copies('once'), copies('each')];
    const beforeUpdate = async (): Promise<void> => {
      onceMs.push(await onceFloor.round());
      eachMs.push(await eachFloor.round());
    };
    try {
      const world = await measureHost(folder, checkpoint, { ...options, beforeRegister, beforeUpdate });
      // The first registration and the first update are warm-ups, and so are their floors.
      const floors = {
        preadMs: preadMs.slice(options.registers > 1 ? 1 : 0),
        onceMs: onceMs.slice(options.updates > 1 ? 1 : 0),
        eachMs: eachMs.slice(options.updates > 1 ? 1 : 0),
      };
      publish(await hostResult(options, checkpoint, world, floors), options);
    } finally {
      await Promise.all([onceFloor.end(), eachFloor.end()]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Maximum bytes that a floor copies in a round: its buffers need memory in addition to those of ranks and workers. */
const MAX_FLOOR_BYTES = 2 ** 29;

/** Rounds of copies of this many bytes. More bytes than a floor has memory for are extrapolated from fewer. */
function copiesInTurns(copies: 'once' | 'each', ranks: number, threads: number, sizeBytes: number): FloorInTurns {
  const bytes = Math.min(sizeBytes, MAX_FLOOR_BYTES);
  const floor = floorInTurns(['memcpy', String(bytes), String(ranks), String(threads), copies]);
  return { round: async () => ((await floor.round()) * sizeBytes) / bytes, end: () => floor.end() };
}

function tensorSizes({ sizeBytes, tensorBytes, largestBytes = 0 }: HostScenarioOptions): number[] {
  const sizes = Array<number>(Math.max(1, Math.round((sizeBytes - largestBytes) / tensorBytes))).fill(tensorBytes);
  if (largestBytes > 0) sizes.splice(Math.floor(sizes.length / 2), 0, largestBytes);
  return sizes;
}
