import { createHostDevice } from '@checkpoint-engine/device';
import { formatBytes } from '@checkpoint-engine/planner';
import type { SyntheticCheckpoint } from '../checkpoints/synthetic-checkpoint.ts';
import type { LoopPauses } from '../report/loop-watch.ts';
import { describeMachine } from '../report/machine.ts';
import type { BenchResult, MemoryHolder, ResultRow, Target } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { timelineOf } from '../report/timeline.ts';
import type { HostScenarioOptions } from './host-options.ts';
import type { HostFigures } from './measure-host.ts';
import { memoryHolders } from './memory-holders.ts';

/** Rounds of the floors, in milliseconds. */
export interface HostFloors {
  /** One round before each registration. */
  readonly preadMs: readonly number[];
  /** The copies of ranks that share a ring: each byte to the ring once, and from there to every receiver. */
  readonly onceMs: readonly number[];
  /** The copies of ranks with separate rings: each byte to a ring and on to the receiver, for every receiver. */
  readonly eachMs: readonly number[];
}

/** Converts the measurements of `bench host` to a result. */
export async function hostResult(
  options: HostScenarioOptions,
  checkpoint: SyntheticCheckpoint,
  world: HostFigures,
  floors: HostFloors,
): Promise<Omit<BenchResult, 'version'>> {
  const device = await createHostDevice();
  const machine = describeMachine(device);
  await device.close();
  const { registerMs, updateMs, registerPauses, updatePauses, checked, wrong } = world;
  const { sizeBytes, tensorCount } = checkpoint;
  const { result: last } = world.last[0]!;
  const [readFloorMs, onceMs, eachMs] = [floors.preadMs, floors.onceMs, floors.eachMs].map(median) as [
    number,
    number,
    number,
  ];
  const common = {
    by: 'checkpoint-engine',
    model: `${tensorCount} tensors`,
    ranks: options.ranks,
    sizeBytes,
    bucketBytes: last.bucketBytes,
  };
  const poolBytes = world.poolBytes.reduce((sum, bytes) => sum + bytes, 0);
  const memory = memoryHolders(world, sizeBytes);
  const register: ResultRow = {
    ...common,
    what: 'register',
    samplesMs: registerMs.length > 1 ? registerMs.slice(1) : registerMs,
    warmupMs: registerMs.length > 1 ? registerMs.slice(0, 1) : [],
    floorMs: readFloorMs,
    figures: {
      bestOfBestFloor: Math.min(...floors.preadMs) / Math.min(...registerMs.slice(1)),
      poolOverhead: poolBytes / sizeBytes - 1,
      ...registerPauses,
    },
  };
  const gather: ResultRow = {
    ...common,
    what: 'gather',
    samplesMs: [world.gatherMs],
  };
  const update: ResultRow = {
    ...common,
    what: 'update',
    samplesMs: updateMs.length > 1 ? updateMs.slice(1) : updateMs,
    warmupMs: updateMs.length > 1 ? updateMs.slice(0, 1) : [],
    floorMs: onceMs,
    phasesMs: last.durationsMs,
    deviceBytes: last.deviceBytes,
    hostBytes: world.peakResidentBytes,
    figures: {
      bestOfBestFloor: Math.min(...floors.onceMs) / Math.min(...updateMs.slice(1)),
      ofFloorWithARingEach: eachMs / median(updateMs.slice(1)),
      rankBusyMs: median(world.busyMs),
      ...updatePauses,
    },
    checked,
    wrong,
  };
  const readyMs = registerMs[0]! + world.gatherMs + world.planMs;
  return {
    scenario: 'host',
    title: `${options.ranks} ranks bring ${formatBytes(sizeBytes)} into ${options.ranks} workers in ${median(update.samplesMs).toFixed(0)} ms`,
    machine,
    options: {
      size: options.sizeBytes,
      tensorSize: options.tensorBytes,
      largestTensor: options.largestBytes ?? options.tensorBytes,
      ranks: options.ranks,
      updates: options.updates,
      bucketSize: options.bucketBytes ?? 'default',
    },
    rows: [
      register,
      gather,
      { ...common, what: 'register, gather and plan, first', samplesMs: [readyMs], bucketBytes: undefined },
      update,
      { ...common, by: 'floor: memcpy, one ring for all', what: 'update', samplesMs: floors.onceMs },
      { ...common, by: 'floor: memcpy, a ring each', what: 'update', samplesMs: floors.eachMs },
      { ...common, by: 'floor: pread', what: 'register', samplesMs: floors.preadMs },
    ],
    targets: targetsOf({ update, register, onceMs, readFloorMs, poolBytes, sizeBytes, readyMs, updatePauses, memory }),
    memory,
    timelines: [
      timelineOf(
        'last update',
        world.last.map(({ events }) => events),
      ),
    ],
    notes: [
      last.reason,
      'A round is as slow as its slowest rank. The first update is a warm-up: workers allocate their tensors in it.',
      'The floor of a registration and the registrations take turns, each in memory that was touched and freed directly before: a virtual machine that returns free memory to its host takes longer to touch it again.',
      'The floor of an update makes the same copies with plain threads and memcpy in one process: each byte into a ring once and out of it once for each worker. "ofFloorWithARingEach" compares with twice as many copies, one ring for each rank, as ranks did before they shared one.',
      'bestOfBestFloor compares the fastest round with the fastest round of the floor: where other work shares the machine, it is the fairer of the two.',
      'busyMs is the most that the JavaScript thread ran between two turns of a 5 ms timer; waitedMs the most that it could have run and had no core. A pause with little of the first and much of the second is a machine with more threads than cores.',
      'Memory is the maximum of the private memory of each process, and of shared memory; "process" is the memory at the start. Unexplained is the growth of heaps, and would be any second copy.',
    ],
  };
}

/** Allowed growth of a process's heaps and stacks. */
const HEAP_MIB = 32;
const MIN_BYTES_FOR_RATES = 256 * 2 ** 20;

interface TargetInput {
  readonly update: ResultRow;
  readonly register: ResultRow;
  readonly onceMs: number;
  readonly readFloorMs: number;
  readonly poolBytes: number;
  readonly sizeBytes: number;
  readonly readyMs: number;
  readonly updatePauses: LoopPauses;
  readonly memory: readonly MemoryHolder[];
}

function targetsOf({
  update,
  register,
  onceMs,
  readFloorMs,
  poolBytes,
  sizeBytes,
  readyMs,
  updatePauses: { busyMs, longestMs },
  memory,
}: TargetInput): Target[] {
  const ready: Target = { what: 'register, gather and plan, first', measured: readyMs, atMost: 10_000, unit: 'ms' };
  const unexplained: Target = {
    what: 'memory that is held and not known by name, most of a holder',
    measured: Math.max(...memory.map(({ unexplainedBytes }) => unexplainedBytes)) / 2 ** 20,
    atMost: HEAP_MIB,
    unit: 'MiB',
    isRequired: true,
  };
  // With many small tensors, the bytes take no time and alignment is most of the pool.
  if (sizeBytes < MIN_BYTES_FOR_RATES) return [ready];
  return [
    { what: 'update: floor / median', measured: onceMs / median(update.samplesMs), atLeast: 0.7, unit: 'x' },
    { what: 'register: floor / median', measured: readFloorMs / median(register.samplesMs), atLeast: 0.8, unit: 'x' },
    { what: 'pool / checkpoint', measured: poolBytes / sizeBytes, atMost: 1.02, unit: 'x', isRequired: true },
    unexplained,
    ready,
    { what: 'event loop, longest pause in an update', measured: longestMs, atMost: 50, unit: 'ms' },
    { what: 'event loop, most work of ours without a pause', measured: busyMs, atMost: 50, unit: 'ms' },
  ];
}
