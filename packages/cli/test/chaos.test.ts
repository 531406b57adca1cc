// Ranks, the server and workers are killed during updates. Each update must report which process died, the next one
// must work, and nothing may be left behind. SERVE_CHAOS_ROUNDS sets the number of kills (3), SERVE_CHAOS_SEED the seed
// of the random choices, SERVE_CHAOS_RANKS the number of ranks (2), SERVE_CHAOS_SIZE the bytes of the checkpoint (32
// MiB).
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSize } from '@checkpoint-engine/planner';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runs, sharedMemoryOf } from './processes.ts';
import { randomFrom } from './served/random.ts';
import { ServedWorld } from './served/served-world.ts';
import { type Outcome, type Target, target, VICTIMS } from './served/victims.ts';

const ROUNDS = Number(process.env.SERVE_CHAOS_ROUNDS ?? 3);
const SEED = Number(process.env.SERVE_CHAOS_SEED ?? 7);
const RANKS = Number(process.env.SERVE_CHAOS_RANKS ?? 2);
const SIZE_BYTES = parseSize(process.env.SERVE_CHAOS_SIZE ?? '32MiB');
/** Share of a quick update's time in which the kill comes, so that most kills happen during the update. */
const KILL_WITHIN = 0.8;
/** Time that processes may take to end after the process that they belong to. */
const ORPHANS_MS = 10_000;
const POLL_INTERVAL_MS = 50;
const PATH = '/v1/checkpoints/chaos/update';

let world: ServedWorld;
let seenPids: ReadonlySet<number> = new Set();
const updatesMs: number[] = [];
const random = randomFrom(SEED);

beforeAll(async () => {
  world = await ServedWorld.start({ ranks: RANKS, checkpointBytes: SIZE_BYTES, bucketBytes: SIZE_BYTES / 32 });
  await world.register('chaos');
  updatesMs.push(await timedUpdate(), await timedUpdate());
}, 120_000);
afterAll(async () => {
  seenPids = world?.seenPids ?? seenPids;
  await world?.end();
  expect(sharedMemoryOf(seenPids)).toEqual([]);
}, 60_000);

it.each(Array.from({ length: ROUNDS }, (_, round) => [round, VICTIMS[round % VICTIMS.length]!] as const))(
  `round %i of seed ${SEED}: the update reports the death of a %s, and the next one works`,
  { timeout: 180_000 },
  async (_, kind) => {
    const victim = target(world, kind, Math.floor(random() * RANKS));
    const seen = [...world.seenPids];
    const before = { pids: world.worldPids, restarts: (await world.readiness()).restarts };
    const quickMs = updatesMs.toSorted((a, b) => a - b)[Math.floor(updatesMs.length * 0.2)]!;
    const update: Promise<Outcome> = world.server.call('POST', PATH, {}).catch((error: Error) => error);
    await sleep(random() * KILL_WITHIN * quickMs);
    await victim.kill();
    const outcome = await update;
    // The kill may come too late: an update whose last reply was already sent succeeds.
    const succeeded = !(outcome instanceof Error) && outcome.status === 200;
    const ending = outcome instanceof Error ? String(outcome) : `${outcome.status} ${outcome.text}`;
    expect(succeeded || victim.isNamedBy(outcome), `${kind} ${victim.rank}: ${ending}`).toBe(true);
    await recover(victim, before);
    updatesMs.push(await timedUpdate());
    expect(await world.wrong()).toBe(0);
    expect(sharedMemoryOf(seen.filter((pid) => !runs(pid)))).toEqual([]);
  },
);

/** Does what an operator would do. */
async function recover(
  { victim, rank }: Target,
  before: { readonly pids: readonly number[]; readonly restarts: number },
): Promise<void> {
  if (victim === 'worker') return await world.startEngine(rank);
  if (victim === 'rank') return await world.untilReady(before.restarts + 1);
  const endsAt = performance.now() + ORPHANS_MS;
  while (before.pids.some(runs) && performance.now() < endsAt) await sleep(POLL_INTERVAL_MS);
  expect(before.pids.filter(runs), 'processes that outlive the server').toEqual([]);
  await world.startServer();
  await world.register('chaos');
}

async function timedUpdate(): Promise<number> {
  const startedAt = performance.now();
  await world.ask('POST', PATH, {});
  return performance.now() - startedAt;
}
