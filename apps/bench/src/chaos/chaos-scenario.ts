import { setTimeout as sleep } from 'node:timers/promises';
import { describeMachine } from '../report/machine.ts';
import { publish } from '../report/publish.ts';
import type { BenchResult } from '../report/result.ts';
import { percentile } from '../report/statistics.ts';
import { isAlive, segmentsOf } from '../served/processes.ts';
import { ServedWorld } from '../served/served-world.ts';
import { randomFrom } from './random.ts';
import { type Outcome, type Target, target, VICTIMS, type Victim } from './victims.ts';

/** What `bench chaos` is asked to do. */
export interface ChaosScenarioOptions {
  readonly rounds: number;
  readonly ranks: number;
  readonly sizeBytes: number;
  readonly seed: number;
  readonly json?: string | undefined;
}

/** How a round went. */
interface Round {
  readonly victim: Victim;
  readonly rank: number;
  /** From the start of the update to the kill. */
  readonly killedAtMs: number;
  /** From the kill to the end of the update. */
  readonly heardMs: number;
  /** The update was over before. */
  readonly isMissed: boolean;
  /** What was not as it should be; empty for a good round. */
  readonly faults: readonly string[];
}

/** Share of a quick update's time in which the kill comes, so that most find it under way. */
const KILL_WITHIN = 0.8;
/** How long processes may take to end after the one that they belong to. */
const ORPHANS_MS = 10_000;
const LOOK_EVERY_MS = 50;

/** Kills ranks, servers and workers in the middle of updates. Each update has to say who died, and the next one to work. */
export async function chaosScenario(options: ChaosScenarioOptions): Promise<boolean> {
  return publish(await chaos(options), options);
}

/** As {@link chaosScenario}, without saying anything. */
export async function chaos(options: ChaosScenarioOptions): Promise<Omit<BenchResult, 'version'>> {
  const { rounds: count, ranks, sizeBytes, seed } = options;
  const random = randomFrom(seed);
  const world = await ServedWorld.start({ ranks, sizeBytes, tensorBytes: sizeBytes / 64, bucketBytes: sizeBytes / 32 });
  const rounds: Round[] = [];
  const updatesMs: number[] = [];
  try {
    await world.server.register('chaos', world.folder);
    updatesMs.push(await timedUpdate(world), await timedUpdate(world));
    for (let index = 0; index < count; index++) {
      const victim = VICTIMS[index % VICTIMS.length]!;
      const rank = Math.floor(random() * ranks);
      const afterMs = random() * KILL_WITHIN * percentile(updatesMs, 0.2);
      rounds.push(await runRound(world, target(world, victim, rank), afterMs, updatesMs));
    }
  } finally {
    await world.end();
  }
  const left = segmentsOf(world.seenPids).length;
  const faults = rounds.flatMap(({ victim, rank, faults: all }, index) =>
    all.map((fault) => `round ${index + 1}, ${victim} ${rank}: ${fault}`),
  );
  const hits = rounds.filter(({ isMissed }) => !isMissed);
  return {
    scenario: 'chaos',
    title: `${count} kills in the middle of updates: ${hits.length} hit one, ${faults.length} faults, ${left} segments left`,
    machine: describeMachine(),
    options: { rounds: count, ranks, sizeBytes, seed },
    rows: [
      ...VICTIMS.map((victim) => {
        const own = rounds.filter((round) => round.victim === victim);
        return {
          by: 'checkpoint-engine',
          what: `death of a ${victim} is known`,
          ranks,
          samplesMs: own.filter(({ isMissed }) => !isMissed).map(({ heardMs }) => heardMs),
          checked: own.length,
          wrong: own.filter((round) => round.faults.length > 0).length,
          figures: { missed: own.filter(({ isMissed }) => isMissed).length },
        };
      }),
      { by: 'checkpoint-engine', what: 'update', ranks, sizeBytes, samplesMs: updatesMs, checked: 1, wrong: left },
    ],
    targets: [
      {
        what: 'rounds with a fault',
        measured: rounds.filter((r) => r.faults.length > 0).length,
        atMost: 0,
        unit: 'rounds',
      },
      { what: 'segments left in /dev/shm', measured: left, atMost: 0, unit: 'segments' },
    ],
    notes: faults,
  };
}

async function runRound(world: ServedWorld, victim: Target, afterMs: number, updatesMs: number[]): Promise<Round> {
  const faults: string[] = [];
  const seen = new Set(world.seenPids);
  const before = { pids: world.server.pids, ...(await world.server.readiness()) };
  const startedAt = performance.now();
  let endedAt = Number.NaN;
  const update: Promise<Outcome> = world.server.call('POST', '/v1/checkpoints/chaos/update', {}).then(
    (answer) => answer,
    (error: Error) => error,
  );
  void update.then(() => {
    endedAt = performance.now();
  });
  await sleep(afterMs);
  const killedAt = performance.now();
  const isMissed = endedAt < killedAt;
  await victim.kill();
  const outcome = await update;
  // An update whose last reply was on its way when the victim died went through.
  const wentThrough = !(outcome instanceof Error) && outcome.status === 200;
  if (!wentThrough && !victim.isNamedBy(outcome)) faults.push(`the update ended with ${describe(outcome)}`);
  faults.push(...(await recover(world, victim, before)));
  try {
    updatesMs.push(await timedUpdate(world));
    const wrong = await world.wrong();
    if (wrong > 0) faults.push(`${wrong} tensors are wrong after the next update`);
  } catch (error) {
    faults.push(`the next update failed: ${String(error)}`);
  }
  const segments = segmentsOf([...seen].filter((pid) => !isAlive(pid)));
  if (segments.length > 0) faults.push(`${segments.length} segments of dead processes are left`);
  return {
    victim: victim.victim,
    rank: victim.rank,
    killedAtMs: killedAt - startedAt,
    heardMs: Math.max(0, endedAt - killedAt),
    isMissed: isMissed || wentThrough,
    faults,
  };
}

/** Does what whoever runs the world would do. Gives what was not as it should be. */
async function recover(
  world: ServedWorld,
  { victim, rank }: Target,
  before: { readonly pids: readonly number[]; readonly restarts: number },
): Promise<string[]> {
  if (victim === 'worker') {
    await world.engines[rank]!.restart();
    return [];
  }
  if (victim === 'rank') {
    await world.server.untilReady(before.restarts + 1);
    return [];
  }
  const orphans = await orphansOf(before.pids);
  await world.startServer();
  await world.server.register('chaos', world.folder);
  return orphans.length === 0 ? [] : [`${orphans.length} processes outlived the server`];
}

/** Processes of a dead server that do not end by themselves. */
async function orphansOf(pids: readonly number[]): Promise<number[]> {
  const endsAt = performance.now() + ORPHANS_MS;
  for (;;) {
    const alive = pids.filter(isAlive);
    if (alive.length === 0 || performance.now() > endsAt) return alive;
    await sleep(LOOK_EVERY_MS);
  }
}

async function timedUpdate({ server }: ServedWorld): Promise<number> {
  const startedAt = performance.now();
  await server.ask('POST', '/v1/checkpoints/chaos/update', {});
  return performance.now() - startedAt;
}

function describe(outcome: Outcome): string {
  return outcome instanceof Error ? String(outcome) : `${outcome.status} ${JSON.stringify(outcome.body)}`;
}
