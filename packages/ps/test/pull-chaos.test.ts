// Kills, freezes and aborts during pulls, in a pseudo-random sequence. CHAOS_ROUNDS sets its length, and CHAOS_SEED its
// seed.
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type { NamedTensor } from '@checkpoint-engine/ps';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeTensors } from './support/checkpoint.ts';
import { expected, modelTensors, tensorParallel } from './support/pull-world.ts';
import { World, type WorldOptions } from './support/world.ts';

const ROUNDS = Number(process.env.CHAOS_ROUNDS ?? 5);
const SEED = Number(process.env.CHAOS_SEED ?? 1);
const SIZE = 3;
const OPTIONS: WorldOptions = { sharePools: true, lostAfterMs: 1_500, pull: { inBuckets: ['norm.0', 'expert.1.0'] } };
const FAULTS = ['none', 'throw', 'kill worker', 'freeze worker', 'kill rank', 'freeze rank', 'abort'] as const;

let world: World;
let folder: string;
let state = SEED;

/** A whole number below a bound. */
function random(bound: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
}

async function write(seed: number): Promise<{ path: string; tensors: NamedTensor[] }> {
  const tensors = modelTensors(seed, 3);
  const path = join(folder, `${seed}.safetensors`);
  await writeTensors(path, tensors);
  return { path, tensors };
}

async function expectHeld(tensors: readonly NamedTensor[]): Promise<void> {
  for (let index = 0; index < SIZE; index++) {
    expect(await world.digests(index)).toEqual(expected(tensors, tensorParallel(index, SIZE)));
  }
}

/** Causes a fault while workers pull, and returns the function that repairs the world afterwards. */
async function disturb(fault: (typeof FAULTS)[number], victim: number): Promise<() => Promise<void>> {
  const worker = world.workers[victim]!;
  const options = { bucketBytes: 8192, timeoutMs: 2_500 };
  if (fault === 'throw' || fault === 'kill worker' || fault === 'freeze worker') {
    const kind = { throw: 'throw', 'kill worker': 'exit', 'freeze worker': 'stop' }[fault];
    await worker.call('plant', { kind, pull: 0 });
    await world.failedUpdate('a', options);
    if (fault === 'kill worker') return () => world.startWorker(victim, [], OPTIONS.pull);
    if (fault === 'freeze worker') worker.signal('SIGCONT');
    return async () => void (await worker.call('plant', null));
  }
  await worker.call('plant', { kind: 'hold', pull: 0 });
  // A rank that has finished its part may be killed too late to make the others fail.
  const update = { name: 'a', options: { inferenceParallelSize: 1, ...options } };
  const ending = Promise.allSettled(world.ranks.map((each) => each.call('update', update)));
  await worker.call('held');
  // The first rank hosts the store: without it there is no world.
  const other = 1 + random(SIZE - 1);
  const rank = world.ranks[other]!;
  if (fault === 'abort') await world.onAll((each) => each.call('abort'));
  if (fault === 'kill rank') await rank.kill();
  if (fault === 'freeze rank') rank.signal('SIGSTOP');
  await worker.call('plant', null);
  if (fault === 'freeze rank') {
    setTimeout(() => void rank.kill(), 2_000);
  }
  await ending;
  return async () => {
    if (fault === 'abort') return;
    await rank.kill();
    await world.restartRank(other, OPTIONS);
  };
}

/** Registers, disturbs an update, and expects that the next one brings every byte. */
async function playRound(round: number, fault: (typeof FAULTS)[number], source: { stream?: boolean }): Promise<void> {
  const before = await write(2 * round);
  await world.register('a', { files: before.path, ...source });
  await world.gather('a');
  const restore = fault === 'none' ? async () => {} : await disturb(fault, random(SIZE));
  await restore();
  // A restarted rank holds nothing.
  await Promise.allSettled(world.ranks.map((rank) => rank.call('unregister', { name: 'a' })));
  const after = await write(2 * round + 1);
  await world.register('a', { files: after.path, ...source });
  await world.gather('a');
  const results = await world.update('a', { bucketBytes: 8192, timeoutMs: 20_000 });
  expect(results.map(({ method }) => method)).toEqual(Array(SIZE).fill('pull'));
  await expectHeld(after.tensors);
  await world.onAll((rank) => rank.call('unregister', { name: 'a' }));
  await Promise.all([rm(before.path), rm(after.path)]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkpoint-engine-test-'));
  world = await World.start(SIZE, OPTIONS);
});
afterAll(async () => {
  await world?.end();
  await rm(folder, { recursive: true, force: true });
});

it(
  `survives ${ROUNDS} rounds of kills, freezes and aborts with every byte right`,
  async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const fault = FAULTS[(round + random(2)) % FAULTS.length]!;
      const source = random(3) === 0 ? { stream: true } : {};
      const startedAtMs = performance.now();
      await playRound(round, fault, source).catch((cause: Error) => {
        const where = `round ${round} of seed ${SEED}: ${fault} ${JSON.stringify(source)}`;
        throw new Error(`${where}: ${cause.message}\n${world.story(startedAtMs)}`, { cause });
      });
    }
    const pids = [...world.ranks, ...world.workers].map(({ process: { pid } }) => pid);
    // No shared memory is left when no checkpoint is registered.
    const left = readdirSync('/dev/shm').filter((name) => pids.some((pid) => name.includes(`-${pid}-`)));
    expect(left).toEqual([]);
    for (const rank of world.ranks) {
      const { openFiles } = await rank.call<{ openFiles: number }>('usage');
      expect(openFiles).toBeLessThan(80);
    }
  },
  60_000 + ROUNDS * 15_000,
);
