import { describeMachine } from '../report/machine.ts';
import { publish } from '../report/publish.ts';
import type { BenchResult } from '../report/result.ts';
import { median, percentile } from '../report/statistics.ts';
import { type Held, heldBy, segmentsOf } from '../served/processes.ts';
import { ServedWorld } from '../served/served-world.ts';
import { HealthProber } from './health-prober.ts';

/** What `bench soak` is asked to do. */
export interface SoakScenarioOptions {
  readonly cycles: number;
  readonly ranks: number;
  readonly sizeBytes: number;
  readonly json?: string | undefined;
}

/** What is held between two cycles. */
interface Sample {
  readonly cycle: number;
  /** Of the server and its ranks. */
  readonly world: Held;
  readonly engines: Held;
  readonly segmentCount: number;
}

const MIB = 2 ** 20;
/** The first cycles, some 500, fill caches and heaps: what they end with is what later ones are held against. */
const WARMUP_SHARE = 0.5;
const SAMPLES = 100;
const PROBE_EVERY_MS = 2;
const KEPT_SAMPLES = 200;

/** Registers, updates and unregisters a small checkpoint over HTTP, again and again: nothing may grow. */
export async function soakScenario(options: SoakScenarioOptions): Promise<boolean> {
  return publish(await soak(options), options);
}

/** As {@link soakScenario}, without saying anything. */
export async function soak({ cycles, ranks, sizeBytes }: SoakScenarioOptions): Promise<Omit<BenchResult, 'version'>> {
  const world = await ServedWorld.start({ ranks, sizeBytes, tensorBytes: sizeBytes / 16, bucketBytes: sizeBytes / 8 });
  const phasesMs: Record<string, number[]> = { register: [], update: [], unregister: [], cycle: [] };
  const samples: Sample[] = [];
  const every = Math.max(1, Math.floor(cycles / SAMPLES));
  const prober = new HealthProber(world.server, PROBE_EVERY_MS);
  let wrong = 0;
  let status: number | null = null;
  const pids = world.seenPids;
  try {
    for (let cycle = 1; cycle <= cycles; cycle++) {
      await runCycle(world, prober, phasesMs);
      if (cycle % every === 0) samples.push(sample(world, cycle));
    }
    wrong = await world.wrong();
    await prober.stop();
  } finally {
    status = await world.end();
  }
  const left = segmentsOf(pids).length;
  const growth = growthOf(samples);
  const { duringUpdatesMs } = prober;
  const p99Ms = percentile(duringUpdatesMs, 0.99);
  return {
    scenario: 'soak',
    title: `After ${cycles} cycles of ${ranks} ranks: memory of server and ranks ${signed(growth.worldMiB)} MiB, of engines ${signed(growth.enginesMiB)} MiB, open files ${signed(growth.openFiles)}, segments left ${left}; p99 of health checks during updates ${p99Ms.toFixed(1)} ms`,
    machine: describeMachine(),
    options: { cycles, ranks, sizeBytes },
    rows: [
      ...Object.entries(phasesMs).map(([what, samplesMs]) => ({
        by: 'checkpoint-engine',
        what,
        ranks,
        samplesMs: quantiles(samplesMs),
        ...(what === 'update'
          ? { sizeBytes, checked: world.tensorCount * ranks, wrong: wrong + Number(status !== 0) }
          : {}),
      })),
      {
        by: 'checkpoint-engine',
        what: 'health check during updates',
        ranks,
        samplesMs: quantiles(duringUpdatesMs),
        figures: { p50Ms: median(duringUpdatesMs), p99Ms, mostMs: Math.max(...duringUpdatesMs) },
      },
      {
        by: 'checkpoint-engine',
        what: 'what is held',
        ranks,
        samplesMs: [],
        figures: {
          ...growth,
          segmentsBetweenCycles: Math.max(...samples.map((one) => one.segmentCount)),
          segmentsLeft: left,
        },
      },
    ],
    targets: [
      { what: 'growth of resident memory, server and ranks', measured: growth.worldPercent, atMost: 5, unit: '%' },
      // Their heaps swing by a quarter in waves of some 2,000 cycles: a miss may be one of those. Look at a longer run.
      { what: 'growth of resident memory, engines', measured: growth.enginesPercent, atMost: 5, unit: '%' },
      { what: 'growth of open files', measured: growth.openFiles, atMost: 0, unit: 'files' },
      { what: 'segments left in /dev/shm', measured: left, atMost: 0, unit: 'segments' },
      { what: 'p99 of GET /v1/healthz during updates', measured: p99Ms, atMost: 50, unit: 'ms' },
    ],
  };
}

async function runCycle(world: ServedWorld, prober: HealthProber, phasesMs: Record<string, number[]>): Promise<void> {
  const timed = async (phase: string, work: () => Promise<unknown>): Promise<void> => {
    const startedAt = performance.now();
    await work();
    phasesMs[phase]!.push(performance.now() - startedAt);
  };
  const { server, folder } = world;
  await timed('cycle', async () => {
    await timed('register', () => server.register('soak', folder));
    await timed('update', () => prober.during(() => server.ask('POST', '/v1/checkpoints/soak/update', {})));
    await timed('unregister', () => server.ask('DELETE', '/v1/checkpoints/soak'));
  });
}

function sample(world: ServedWorld, cycle: number): Sample {
  const { server, engines } = world;
  return {
    cycle,
    world: heldBy(server.pids),
    engines: heldBy(engines.map(({ pid }) => pid)),
    segmentCount: segmentsOf(world.seenPids).length,
  };
}

/** From the samples just after the warm-up to the last ones: medians, since garbage collectors come and go. */
function growthOf(samples: readonly Sample[]) {
  const first = Math.floor(samples.length * WARMUP_SHARE);
  const few = Math.max(1, Math.floor(samples.length / 10));
  const from = samples.slice(first, first + few);
  const to = samples.slice(-few);
  const change = (value: (sample: Sample) => number): [number, number] => [
    median(from.map(value)),
    median(to.map(value)),
  ];
  const [worldFrom, worldTo] = change(({ world }) => world.residentBytes);
  const [enginesFrom, enginesTo] = change(({ engines }) => engines.residentBytes);
  const [filesFrom, filesTo] = change(({ world, engines }) => world.openFiles + engines.openFiles);
  return {
    worldFromMiB: worldFrom / MIB,
    worldMiB: (worldTo - worldFrom) / MIB,
    worldPercent: (worldTo / worldFrom - 1) * 100,
    enginesFromMiB: enginesFrom / MIB,
    enginesMiB: (enginesTo - enginesFrom) / MIB,
    enginesPercent: (enginesTo / enginesFrom - 1) * 100,
    openFilesFrom: filesFrom,
    openFiles: filesTo - filesFrom,
  };
}

/** Fewer values with the same distribution, so that results stay small. */
function quantiles(values: readonly number[]): number[] {
  if (values.length <= KEPT_SAMPLES) return [...values];
  return Array.from({ length: KEPT_SAMPLES }, (_, index) => percentile(values, (index + 1) / KEPT_SAMPLES));
}

const signed = (value: number): string => `${value < 0 ? '' : '+'}${Math.round(value)}`;
