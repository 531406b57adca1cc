// Ranks that join are killed during an update and join again, while the serving ranks update their own workers. Takes 3
// minutes. REJOIN_CYCLES sets the number of kills (20), REJOIN_RANKS the ranks per side (2).
// REJOIN_SHARED_CORES=1 runs both simulated hosts on the same cores. Needs root and Mooncake.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeCheckpoint } from '@checkpoint-engine/bench/checkpoints/synthetic-checkpoint';
import { type SimulatedHosts, simulateHosts } from '@checkpoint-engine/bench/p2p/networks';
import { P2PWorld } from '@checkpoint-engine/bench/p2p/p2p-world';
import type { World } from '@checkpoint-engine/bench/world/world';
import { afterAll, describe, expect, it } from 'vitest';
import { mooncakeForTests } from '../../../packages/transport-rdma/test/support/mooncake.ts';

const CYCLES = Number(process.env.REJOIN_CYCLES ?? 20);
const RANKS = Number(process.env.REJOIN_RANKS ?? 2);
const SHARED_CORES = process.env.REJOIN_SHARED_CORES === '1';
const SIZE_BYTES = 64 * 2 ** 20;
const TENSOR_BYTES = 2 ** 20;
const BUCKET_BYTES = 4 * 2 ** 20;
const NAME = 'weights';
/** Pages that the allocator keeps. */
const RESIDENT_SLACK_BYTES = 32 * 2 ** 20;

const { python, missing } = await mooncakeForTests();
const hosts = missing ?? hostsOrReason();
const reason = typeof hosts === 'string' ? hosts : undefined;
if (reason !== undefined) console.warn(`Ranks that join again are not tested: ${reason}`);

describe.skipIf(reason)('serving ranks', () => {
  const { addresses, on, remove } = (typeof hosts === 'string' ? {} : hosts) as SimulatedHosts;
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-test-'));
  let serving: P2PWorld | undefined;
  let joining: P2PWorld | undefined;
  afterAll(async () => {
    await joining?.kill();
    await serving?.end();
    remove?.();
    rmSync(folder, { recursive: true, force: true });
  });

  it(`keep nothing of ${CYCLES} killed joiners, and all bytes are right`, { timeout: 1_200_000 }, async () => {
    const { files } = await writeCheckpoint(folder, Array(SIZE_BYTES / TENSOR_BYTES).fill(TENSOR_BYTES), RANKS);
    const placesOn = (host: number) =>
      Array.from({ length: RANKS }, () => ({
        p2p: { protocol: 'tcp' as const, host: addresses[host]!, python: python! },
        nics: [addresses[host]!],
        runner: on(host),
      }));
    serving = await P2PWorld.start(placesOn(0));
    const { world } = serving;
    await world.register(NAME, files);
    const { metas } = await world.gather(NAME);
    await world.update(NAME, { bucketBytes: BUCKET_BYTES });
    // The first joiners start the transfer engines of the ranks that serve.
    let before: Held | undefined;
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      joining = await P2PWorld.start(placesOn(1), RANKS);
      const joined = joining;
      await joined.world.load(metas);
      await trafficUntil(world, joined.world.update(NAME, { bucketBytes: BUCKET_BYTES }));
      expect(await joined.verify(folder, files), `cycle ${cycle}`).toMatchObject({ wrong: 0 });
      before ??= await heldBy(world);
      const cut = joined.world.update(NAME, { bucketBytes: BUCKET_BYTES });
      cut.catch(() => {});
      await sleep(30 + cycle * 10);
      await joined.kill();
      joining = undefined;
    }
    await expect
      .poll(async () => (await heldBy(world)).openFiles, { timeout: 30_000 })
      .toBeLessThanOrEqual(before!.openFiles);
    const after = await heldBy(world);
    expect(after.residentBytes - before!.residentBytes).toBeLessThanOrEqual(RESIDENT_SLACK_BYTES);
    expect(after.engineProcesses).toBeLessThanOrEqual(before!.engineProcesses);
    expect(await serving.verify(folder, files)).toMatchObject({ wrong: 0 });
  });
});

/** Updates a world's own workers until a promise settles, at least once. */
async function trafficUntil(world: World, until: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = until.finally(() => {
    isOver = true;
  });
  over.catch(() => {});
  do await world.update(NAME, { bucketBytes: BUCKET_BYTES });
  while (!isOver);
  await over;
}

interface Held {
  readonly openFiles: number;
  readonly residentBytes: number;
  /** Transfer engines that run for a rank. */
  readonly engineProcesses: number;
}

/** The maximum of each resource over the ranks. */
async function heldBy(world: World): Promise<Held> {
  const usage = await world.usage();
  const children = (pid: number): number =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).length;
  return {
    openFiles: Math.max(...usage.map(({ openFiles }) => openFiles)),
    residentBytes: Math.max(...usage.map(({ residentBytes }) => residentBytes)),
    engineProcesses: Math.max(...world.pids.map(children)),
  };
}

function hostsOrReason(): SimulatedHosts | string {
  try {
    return simulateHosts(2, { coresApart: !SHARED_CORES });
  } catch (error) {
    return `network namespaces cannot be made here: ${(error as Error).message.trim().split('\n').at(-1)}`;
  }
}
