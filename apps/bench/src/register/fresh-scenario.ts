import { availableParallelism, freemem } from 'node:os';
import { createCudaDevice, createHostDevice, listCudaDevices } from '@checkpoint-engine/device';
import type { Device, FileRead, HostMemory } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import { holdFloor } from '../floors/floor-program.ts';
import { describeMachine } from '../report/machine.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import type { ResultRow } from '../report/result.ts';
import { checkpointReads } from './checkpoint-reads.ts';
import { countsFromNow } from './kernel-counts.ts';

/** The options of `bench register --fresh`. */
export interface FreshScenarioOptions extends PublishOptions {
  readonly dir: string;
  readonly threads?: number | undefined;
  /** Rounds in reused memory. */
  readonly rounds: number;
}

/** One way to read files into pinned memory, with the milliseconds of its steps in order. */
interface Way {
  readonly by: string;
  readonly way: string;
  run(): Promise<{ readonly phasesMs: Readonly<Record<string, number>>; release(): Promise<void> }>;
}

/** Default number of threads with which a device reads. */
const MAX_THREADS = 16;
const HUGE_PAGE_BYTES = 2 * 2 ** 20;

/**
 * Registration in memory that the system provides for the first time, compared with memory that was used before. Every
 * way keeps its memory until all have run, so that none gets memory that another has touched; then all free it, and the
 * same ways run again. The memory has to hold the checkpoint once for each way.
 */
export async function freshScenario({ dir, threads, rounds, json }: FreshScenarioOptions): Promise<boolean> {
  const count = threads ?? Math.min(availableParallelism(), MAX_THREADS);
  const { reads, paths, sizeBytes } = await checkpointReads(dir);
  const host = await createHostDevice({ threads: count });
  const cuda = (await listCudaDevices()).available ? await createCudaDevice({ threads: count }) : undefined;
  try {
    const all = [
      floorWay('read', count, paths),
      ...(cuda === undefined
        ? []
        : [ours(cuda, 'read and pin, overlapped', sizeBytes, { read: (m) => m.read(reads) })]),
      ours(host, 'read, no pinning', sizeBytes, { read: (m) => m.read(reads) }),
      ...(cuda === undefined ? [] : pinningWays(cuda, sizeBytes, reads)),
      floorWay('touch', count, paths),
    ];
    const ways = all.slice(0, Math.max(0, Math.floor((freemem() - sizeBytes) / sizeBytes)));
    const rows = [...(await measure(ways, 'fresh, held', sizeBytes)), ...(await measureAgain(ways, rounds, sizeBytes))];
    const left = all.length - ways.length;
    return publish(
      {
        scenario: 'register-fresh',
        title: `${formatBytes(sizeBytes)} from warm files into memory that is used for the first time, and again`,
        machine: describeMachine(cuda),
        options: { dir, threads: count, rounds },
        rows,
        targets: [],
        notes: [
          'Rows of fresh memory have one sample. Figures are what the kernel counted meanwhile.',
          ...(left > 0 ? [`${left} of ${all.length} ways were left out: ${formatBytes(freemem())} are free`] : []),
        ],
      },
      { json },
    );
  } finally {
    await cuda?.close();
    await host.close();
  }
}

async function measure(ways: readonly Way[], memory: string, sizeBytes: number): Promise<ResultRow[]> {
  const rows: ResultRow[] = [];
  const releases: (() => Promise<void>)[] = [];
  for (const { by, way, run } of ways) {
    const counts = countsFromNow();
    const { phasesMs, release } = await run();
    releases.push(release);
    rows.push({
      by,
      what: 'register',
      settings: { memory, way },
      samplesMs: [sum(phasesMs)],
      sizeBytes,
      phasesMs,
      figures: counts(),
    });
  }
  for (const release of releases) await release();
  return rows;
}

async function measureAgain(ways: readonly Way[], rounds: number, sizeBytes: number): Promise<ResultRow[]> {
  const rows: ResultRow[] = [];
  for (const way of ways) {
    const samples: ResultRow[] = [];
    for (let round = 0; round < rounds; round++) samples.push(...(await measure([way], 'used before', sizeBytes)));
    const last = samples.at(-1);
    if (last !== undefined) rows.push({ ...last, samplesMs: samples.flatMap(({ samplesMs }) => samplesMs) });
  }
  return rows;
}

function floorWay(way: 'read' | 'touch', threads: number, paths: readonly string[]): Way {
  return {
    by: 'floor: pread',
    way: way === 'touch' ? 'touch, then read' : 'read',
    async run() {
      const { seconds, release } = await holdFloor(way, threads, paths);
      const names = way === 'touch' ? ['touch', 'read'] : ['read'];
      return { phasesMs: Object.fromEntries(names.map((name, index) => [name, seconds[index]! * 1e3])), release };
    },
  };
}

/** The steps of the overlapped way, one after another. */
function pinningWays(device: Device, sizeBytes: number, reads: readonly FileRead[]): Way[] {
  return [
    ours(device, 'touch, pin, then read', sizeBytes, {
      touch,
      pin: (memory) => memory.pin(),
      read: (memory) => memory.read(reads),
    }),
    ours(device, 'pin while populating, then read', sizeBytes, {
      pin: (memory) => memory.pin(),
      read: (memory) => memory.read(reads),
    }),
  ];
}

function ours(
  device: Device,
  way: string,
  sizeBytes: number,
  steps: Readonly<Record<string, (memory: HostMemory) => Promise<void>>>,
): Way {
  return {
    by: 'checkpoint-engine',
    way,
    async run() {
      const phasesMs: Record<string, number> = {};
      let startedAtMs = performance.now();
      const memory = await device.allocateHost(sizeBytes);
      for (const [name, step] of Object.entries(steps)) {
        await step(memory);
        phasesMs[name] = performance.now() - startedAtMs;
        startedAtMs = performance.now();
      }
      return { phasesMs, release: async () => memory.close() };
    },
  };
}

/** Touches one byte of each huge page, on the threads that copy. */
async function touch(memory: HostMemory): Promise<void> {
  const byte = Uint8Array.of(1);
  const pages = Math.ceil(memory.sizeBytes / HUGE_PAGE_BYTES);
  await Promise.all(Array.from({ length: pages }, (_, page) => memory.write(page * HUGE_PAGE_BYTES, byte)));
}

const sum = (phasesMs: Readonly<Record<string, number>>): number =>
  Object.values(phasesMs).reduce((total, ms) => total + ms, 0);
