// Kills, freezes, pauses and aborts at pseudo-random times of a registration, a gathering or an update.
// UPDATE_CHAOS_ROUNDS (250) sets the number of rounds, UPDATE_CHAOS_SEED the seed, UPDATE_CHAOS_P2P=1 gives ranks a
// P2P transport.
import { readdirSync } from 'node:fs';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { World, type WorldOptions } from './support/world.ts';

const ROUNDS = Number(process.env.UPDATE_CHAOS_ROUNDS ?? 250);
const SEED = Number(process.env.UPDATE_CHAOS_SEED ?? 1);
const SIZE = 3;
const OPTIONS: WorldOptions = { lostAfterMs: 2_500, ...(process.env.UPDATE_CHAOS_P2P === '1' && { p2p: 'shm' }) };
const UPDATE = { bucketBytes: 200_000, timeoutMs: 4_000 };
/** Documented bounds: that of the store's calls (20 s), and the time-out of an update with 5 s for what it aborts. */
const BOUND_MS = { register: 21_000, gather: 21_000, update: 10_000, unregister: 21_000 };
const PHASES = ['register', 'gather', 'update', 'update', 'unregister'] as const;
const FAULTS = ['kill rank', 'freeze rank', 'pause rank', 'kill worker', 'pause worker', 'abort', 'none'] as const;

let world: World;
let checkpoints: TestCheckpoint[];
let state = SEED;
const seenPids = new Set<number>();

function random(bound: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
}

function notePids(): void {
  for (const { process } of [...world.ranks, ...world.workers]) seenPids.add(process.pid!);
}

/** Memory in /dev/shm of processes of this program that have ended. */
function leftOver(): string[] {
  const live = new Set([...world.ranks, ...world.workers].map(({ process }) => process.pid));
  const makerOf = (name: string) => Number(/^checkpoint-engine-\d+-(\d+)-/.exec(name)?.[1]);
  return readdirSync('/dev/shm').filter((name) => seenPids.has(makerOf(name)) && !live.has(makerOf(name)));
}

/** Causes a fault after a delay. Returns the rank that no longer works because of it, if any. */
async function strike(fault: (typeof FAULTS)[number], victim: number, afterMs: number): Promise<number | undefined> {
  await sleep(afterMs);
  const [rank, worker] = [world.ranks[victim]!, world.workers[victim]!];
  if (fault === 'kill rank') await rank.kill();
  if (fault === 'freeze rank') rank.signal('SIGSTOP');
  if (fault === 'kill worker') await worker.kill();
  if (fault === 'abort') rank.call('abort').catch(() => {});
  if (fault === 'pause rank' || fault === 'pause worker') {
    const paused = fault === 'pause rank' ? rank : worker;
    paused.signal('SIGSTOP');
    await sleep(300 + random(400));
    paused.signal('SIGCONT');
  }
  return fault === 'kill rank' || fault === 'freeze rank' ? victim : undefined;
}

/**
 * Makes a call at all ranks, of which one may be lost already. Ranks that still work must answer in time, and must fail
 * only with a typed error.
 */
async function callAll(
  phase: (typeof PHASES)[number],
  args: object,
  striking: Promise<number | undefined> | undefined,
  lost: number | undefined,
) {
  const calls = Promise.allSettled(
    world.ranks.map(async (rank) => {
      const late = sleep(BOUND_MS[phase], 'late', { ref: false });
      return await Promise.race([rank.call(phase, args), late]);
    }),
  );
  const victim = (await striking) ?? lost;
  const outcomes = await calls;
  for (const [rank, outcome] of outcomes.entries()) {
    if (rank === victim) continue;
    if (outcome.status === 'fulfilled') expect(outcome.value, `rank ${rank}: ${phase}`).not.toBe('late');
    else
      expect(CheckpointEngineError.isInstance(outcome.reason) && outcome.reason.code, `rank ${rank}`).toMatch(
        /^CE_(?!INTERNAL)/,
      );
  }
  return outcomes.every(({ status }) => status === 'fulfilled');
}

async function expectHeld(held: TestCheckpoint, workers: readonly number[]): Promise<void> {
  for (const index of workers) expect(await world.digests(index)).toMatchObject(held.digests);
}

async function recover(victim: number | undefined): Promise<void> {
  for (const [index, worker] of world.workers.entries()) if (!worker.isAlive) await world.startWorker(index);
  if (victim !== undefined) {
    await world.ranks[victim]!.kill();
    // The first rank hosts the store: without it all start again.
    if (victim > 0) await world.restartRank(victim, OPTIONS);
    else {
      await Promise.all(world.ranks.map((rank) => rank.kill()));
      await world.startRanks(OPTIONS);
    }
  }
  notePids();
  await Promise.allSettled(world.ranks.map((rank) => rank.call('unregister', { name: 'a' })));
}

async function playRound(phase: (typeof PHASES)[number], fault: (typeof FAULTS)[number], stream: boolean) {
  const checkpoint = checkpoints[random(2)]!;
  const victim = random(SIZE);
  const afterMs = random(phase === 'update' ? 170 : 30);
  const steps = {
    register: { name: 'a', source: { files: checkpoint.folder, ...(stream && { stream: true }) } },
    gather: { name: 'a' },
    update: { name: 'a', options: { inferenceParallelSize: 1, ...UPDATE } },
    unregister: { name: 'a' },
  };
  let lost: number | undefined;
  for (const [step, args] of Object.entries(steps) as [(typeof PHASES)[number], object][]) {
    const striking = step === phase ? strike(fault, victim, afterMs) : undefined;
    const isDone = await callAll(step, args, striking, lost);
    lost ??= await striking;
    if (!isDone) break;
    const alive = world.workers.flatMap((worker, index) => (worker.isAlive ? [index] : []));
    if (step === 'update') await expectHeld(checkpoint, alive);
  }
  await recover(lost);
  await world.register('a', steps.register.source);
  await world.gather('a');
  await world.update('a', { ...UPDATE, timeoutMs: 20_000 });
  await expectHeld(checkpoint, [0, 1, 2]);
  await world.onAll((rank) => rank.call('unregister', { name: 'a' }));
  expect(leftOver()).toEqual([]);
  for (const rank of world.ranks) expect((await rank.call<{ openFiles: number }>('usage')).openFiles).toBeLessThan(60);
}

beforeAll(async () => {
  const make = (count: number) => writeCheckpoint(mixedTensors(count), { shardCount: 3 });
  checkpoints = [await make(60), await make(45)];
  world = await World.start(SIZE, OPTIONS);
  notePids();
});
afterAll(async () => {
  await world?.end();
  await Promise.all((checkpoints ?? []).map((checkpoint) => checkpoint.remove()));
});

it(`survives ${ROUNDS} rounds of faults with every byte right`, { timeout: 60_000 + ROUNDS * 30_000 }, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const [phase, fault] = [PHASES[random(PHASES.length)]!, FAULTS[random(FAULTS.length)]!];
    const stream = random(3) === 0;
    const startedAtMs = performance.now();
    await playRound(phase, fault, stream).catch((cause: Error) => {
      const where = `round ${round} of seed ${SEED}: ${fault} during ${phase}${stream ? ', streaming' : ''}`;
      throw new Error(`${where}: ${cause.message}\n${world.story(startedAtMs)}`, { cause });
    });
  }
});
