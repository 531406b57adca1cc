import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import { benchCheckpoint, type CheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { deviceFloors } from '../floors/device-floors.ts';
import { formatMs } from '../report/format.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import type { ResultRow } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import { measureVariant } from '../update/measure-variant.ts';
import { startReceivers, stopReceivers, type WorldOptions } from '../world/receivers.ts';
import { World } from '../world/world.ts';

/** The options of `bench memory`. */
export interface MemoryScenarioOptions extends CheckpointOptions, WorldOptions, PublishOptions {
  readonly boundsBytes: readonly number[];
  readonly updates: number;
}

const NAME = 'weights';

/** Updates with increasing bounds of device memory: their speed, their memory, and the driver's figures. */
export async function memoryScenario(options: MemoryScenarioOptions): Promise<void> {
  const checkpoint = await benchCheckpoint(options);
  const { machine, h2dTogetherGBps } = await deviceFloors(
    options.device,
    options.device === 'host' ? 1 : options.ranks,
  );
  const floorMs = checkpoint.sizeBytes / options.ranks / h2dTogetherGBps / 1e6;
  const receivers = await startReceivers(options);
  const world = await World.start(
    options,
    receivers.map(({ engine }) => ({ engine })),
  );
  const rows: ResultRow[] = [];
  const notes: string[] = [];
  try {
    await world.register(NAME, checkpoint.files);
    await world.gather(NAME);
    for (const deviceMemoryBytes of options.boundsBytes) {
      const bound = formatBytes(deviceMemoryBytes);
      try {
        const { last, samplesMs, warmupMs, driverBytes, checked, wrong } = await measureVariant(
          world,
          receivers,
          { name: NAME, ...checkpoint },
          { deviceMemoryBytes },
          { updates: options.updates, warmups: 1, watchMemory: true },
        );
        const { result } = last[0]!;
        rows.push({
          ...{ by: 'checkpoint-engine', what: 'update', model: checkpoint.title, ranks: options.ranks },
          bucketBytes: result.bucketBytes,
          settings: { 'device-memory': bound },
          ...{ samplesMs, warmupMs, sizeBytes: checkpoint.sizeBytes, floorMs, phasesMs: result.durationsMs },
          deviceBytes: Math.max(...last.map((one) => one.result.deviceBytes)),
          ...{ driverBytes, checked, wrong, note: result.reason },
        });
      } catch (error) {
        if (!CheckpointEngineError.isInstance(error) || error.code !== 'CE_PLAN_MEMORY_TOO_SMALL') throw error;
        notes.push(`--device-memory ${bound}: ${error.message}`);
      }
    }
  } finally {
    await world.end();
    await stopReceivers(receivers);
  }
  const [least, fastest] = [rows[0], rows.toSorted((a, b) => median(a.samplesMs) - median(b.samplesMs))[0]];
  publish(
    {
      scenario: 'memory',
      title:
        least === undefined || fastest === undefined
          ? 'No bound was large enough'
          : `With ${formatBytes(least.deviceBytes!)} of device memory an update takes ${formatMs(median(least.samplesMs))}, ` +
            `with ${formatBytes(fastest.deviceBytes!)} ${formatMs(median(fastest.samplesMs))}`,
      machine,
      options: { device: options.device, receiver: options.receiver, ranks: options.ranks, updates: options.updates },
      rows,
      // On the host there is one figure for the memory of all ranks.
      targets: (options.device === 'host' ? [] : rows).map(({ settings, deviceBytes = 0, driverBytes = 0 }) => ({
        what: `device memory under ${settings?.['device-memory']}: the driver's figure over the update's figure`,
        measured: driverBytes / deviceBytes,
        atMost: 1.1,
        unit: 'x',
      })),
      notes,
    },
    options,
  );
}
