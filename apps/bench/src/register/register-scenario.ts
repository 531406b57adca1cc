import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import type { Device } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import { type BenchCheckpoint, benchCheckpoint } from '../checkpoints/bench-checkpoint.ts';
import { warmMemory } from '../floors/floor-program.ts';
import { readFloorMs } from '../floors/read-floor.ts';
import { formatMs } from '../report/format.ts';
import { describeMachine } from '../report/machine.ts';
import { publish } from '../report/publish.ts';
import type { ResultRow, Target } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { World } from '../world/world.ts';
import { checkpointReads } from './checkpoint-reads.ts';
import { peerRows } from './peer-rows.ts';
import type { RegisterScenarioOptions } from './register-options.ts';

const OURS = 'checkpoint-engine';
/** Target for registration of 16 GiB from a warm page cache. */
const WANTED_MS = 2000;

/** Warm files into a new pool, compared with plain threads that only read, and with the peers. */
export async function registerScenario(options: RegisterScenarioOptions): Promise<void> {
  const checkpoint = await benchCheckpoint(options);
  const common = { model: checkpoint.title, sizeBytes: checkpoint.sizeBytes };
  const whole = await wholeRegistrations(options, checkpoint);
  const floorMs = median(whole.floorsMs.slice(options.rounds > 1 ? 1 : 0));
  const row = (by: string, what: string, ms: readonly number[], hostBytes?: number): ResultRow => ({
    ...common,
    ...{ by, what, floorMs, hostBytes },
    samplesMs: ms.length > 1 ? ms.slice(1) : ms,
    warmupMs: ms.slice(0, ms.length > 1 ? 1 : 0),
  });
  const device = await (options.device === 'cuda' ? createCudaDevice : createHostDevice)({ threads: options.threads });
  const machine = describeMachine(device);
  const rows: ResultRow[] = [
    row(`floor: ${options.threads} threads of pread into fresh huge pages`, 'read', whole.floorsMs),
    ...(await deviceRows(device, checkpoint, options, row)),
  ];
  await device.close();
  rows.push(row(OURS, 'register', whole.samplesMs, whole.poolBytes));
  if (options.peer) rows.push(...(await peerRows(options, checkpoint, row)));
  const ourMs = median(rows.find(({ by, what }) => by === OURS && what === 'register')!.samplesMs);
  const peers = rows.filter(({ by, what }) => what === 'register' && by !== OURS);
  publish(
    {
      scenario: 'register',
      title:
        `${checkpoint.title} (${formatBytes(checkpoint.sizeBytes)}) is registered from warm files in ${formatMs(ourMs)}` +
        peers.map(({ by, samplesMs }) => `; ${by} takes ${formatMs(median(samplesMs))}`).join(''),
      machine,
      options: { device: options.device, threads: options.threads, rounds: options.rounds },
      rows,
      targets: targetsOf(options, ourMs, floorMs),
      notes: [
        'The first round of each is a warm-up. Floor and registrations take turns, all in memory that was touched and freed directly before, because fresh memory costs more.',
      ],
    },
    options,
  );
}

function targetsOf({ device }: RegisterScenarioOptions, ourMs: number, floorMs: number): Target[] {
  const share: Target = {
    what: 'registration, share of the read floor',
    measured: floorMs / ourMs,
    atLeast: 0.8,
    unit: 'x',
  };
  return device === 'host'
    ? [share]
    : [{ what: 'registration', measured: ourMs, atMost: WANTED_MS, unit: 'ms' }, share];
}

/** Measures the parts of a registration separately. */
async function deviceRows(
  device: Device,
  checkpoint: BenchCheckpoint,
  { rounds, threads }: RegisterScenarioOptions,
  row: (by: string, what: string, ms: readonly number[]) => ResultRow,
): Promise<ResultRow[]> {
  const { reads, sizeBytes } = await checkpointReads(checkpoint.folder);
  const warm = (): void => warmMemory(sizeBytes, threads);
  const fill = async (): Promise<() => void> => {
    const memory = await device.allocateHost(sizeBytes);
    await memory.read(reads);
    return () => memory.close();
  };
  const pin = async (): Promise<() => void> => {
    const memory = await device.allocateHost(sizeBytes);
    await memory.pin();
    return () => memory.close();
  };
  const rows = [row(OURS, device.supports.pinning ? 'read and pin' : 'read', await times(rounds, warm, fill))];
  if (device.supports.pinning) rows.push(row(OURS, 'pin untouched memory', await times(rounds, warm, pin)));
  return rows;
}

/**
 * `registerCheckpoint` of a server in a new process: headers, layout, reading, pinning. The floor runs before each
 * round.
 */
async function wholeRegistrations(
  { device, rounds, threads }: RegisterScenarioOptions,
  { files, sizeBytes }: BenchCheckpoint,
): Promise<{ samplesMs: number[]; floorsMs: number[]; poolBytes: number }> {
  const world = await World.start({ device }, [{}]);
  try {
    const samplesMs: number[] = [];
    const floorsMs: number[] = [];
    let poolBytes = 0;
    for (let round = 0; round < rounds; round++) {
      floorsMs.push(await readFloorMs(files, sizeBytes, threads));
      const registered = await world.register('weights', files);
      samplesMs.push(registered.durationMs);
      poolBytes = registered.poolBytes[0]!;
      await world.unregister('weights');
    }
    return { samplesMs, floorsMs, poolBytes };
  } finally {
    await world.end();
  }
}

async function times(rounds: number, prepare: () => void, work: () => Promise<() => void>): Promise<number[]> {
  const ms: number[] = [];
  for (let round = 0; round < rounds; round++) {
    prepare();
    const startedAtMs = performance.now();
    const release = await work();
    ms.push(performance.now() - startedAtMs);
    release();
  }
  return ms;
}
