// A checkpoint is registered, loaded into engines and unregistered over HTTP repeatedly: nothing may grow.
// SOAK_CYCLES sets the number of cycles (20), SOAK_RANKS the ranks (2), SOAK_SIZE the bytes of the checkpoint (4 MiB).
// From 500 cycles on, when caches and heaps are full, memory is compared too.
import process from 'node:process';
import { parseSize } from '@checkpoint-engine/planner';
import { afterAll, expect, it } from 'vitest';
import { type Held, heldBy, sharedMemoryOf } from './processes.ts';
import { HealthProber } from './served/health-prober.ts';
import { ServedWorld } from './served/served-world.ts';

const CYCLES = Number(process.env.SOAK_CYCLES ?? 20);
const RANKS = Number(process.env.SOAK_RANKS ?? 2);
const SIZE_BYTES = parseSize(process.env.SOAK_SIZE ?? '4MiB');
/** With at least this many cycles, the second half shows whether memory grows. */
const CYCLES_FOR_MEMORY = 500;
const MAX_GROWTH = 1.05;
/** The heap size of an engine varies by a quarter over 2,000 cycles. */
const MAX_ENGINE_GROWTH = 1.25;
/** A connection that is being closed counts; one per cycle would be more. */
const MAX_MORE_FILES = 7;
const SAMPLES = 100;
const PROBE_EVERY_MS = 20;

let world: ServedWorld | undefined;
afterAll(async () => {
  await world?.end();
});

it(`${CYCLES} cycles leave nothing behind`, { timeout: 60_000 + CYCLES * 3_000 }, async () => {
  world = await ServedWorld.start({ ranks: RANKS, checkpointBytes: SIZE_BYTES, bucketBytes: SIZE_BYTES / 8 });
  const prober = new HealthProber(world, PROBE_EVERY_MS);
  const samples: { readonly world: Held; readonly engines: Held }[] = [];
  const every = Math.max(1, Math.floor(CYCLES / SAMPLES));
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    await world.register('soak');
    await prober.during(() => world!.ask('POST', '/v1/checkpoints/soak/update', {}));
    await world.ask('DELETE', '/v1/checkpoints/soak');
    if (cycle % every > 0) continue;
    expect(sharedMemoryOf(world.seenPids), `segments after cycle ${cycle}`).toEqual([]);
    samples.push({ world: heldBy(world.worldPids), engines: heldBy(world.engines.map(({ pid }) => pid)) });
  }
  expect(await world.wrong()).toBe(0);
  await prober.stop();
  expect(prober.duringUpdatesMs.length).toBeGreaterThan(0);
  const pids = world.seenPids;
  expect(await world.end()).toBe(0);
  expect(sharedMemoryOf(pids)).toEqual([]);

  // Medians of a few samples from the middle and from the end, since garbage collections come and go.
  const few = Math.max(1, Math.floor(samples.length / 10));
  const middle = samples.slice(Math.floor(samples.length / 2)).slice(0, few);
  const last = samples.slice(-few);
  const growth = (of: (sample: (typeof samples)[number]) => number): [number, number] => [
    median(middle.map(of)),
    median(last.map(of)),
  ];
  const [filesBefore, filesAfter] = growth((sample) => sample.world.openFiles + sample.engines.openFiles);
  expect(filesAfter - filesBefore).toBeLessThanOrEqual(MAX_MORE_FILES);
  const [worldBefore, worldAfter] = growth((sample) => sample.world.residentBytes);
  const [enginesBefore, enginesAfter] = growth((sample) => sample.engines.residentBytes);
  const p99Ms = prober.duringUpdatesMs.toSorted((a, b) => a - b)[Math.floor(prober.duringUpdatesMs.length * 0.99)];
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  console.log(
    `${CYCLES} cycles: server and ranks ${mib(worldBefore)} to ${mib(worldAfter)} MiB, engines ${mib(enginesBefore)} to ` +
      `${mib(enginesAfter)} MiB, open files ${filesBefore} to ${filesAfter}, p99 of /v1/healthz in updates ${p99Ms?.toFixed(1)} ms`,
  );
  if (CYCLES < CYCLES_FOR_MEMORY) return;
  expect(worldAfter / worldBefore).toBeLessThan(MAX_GROWTH);
  expect(enginesAfter / enginesBefore).toBeLessThan(MAX_ENGINE_GROWTH);
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
