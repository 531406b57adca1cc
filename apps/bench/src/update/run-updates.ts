import type { Device } from '@checkpoint-engine/interface';
import { localStore, ParameterServer, type UpdateResult, v1Protocol, vllmEngine } from '@checkpoint-engine/ps';
import type { EngineProcess } from './engine-process.ts';

/** What our side took on one checkpoint. */
export interface OurFigures {
  readonly registerMs: readonly number[];
  readonly gatherMs: number;
  /** Wall time of `update()`, as a caller sees it. */
  readonly updateMs: readonly number[];
  readonly results: readonly UpdateResult[];
  readonly poolBytes: number;
  readonly sizeBytes: number;
  readonly tensorCount: number;
}

/** What to run. */
export interface RunOptions {
  readonly folder: string;
  readonly updates: number;
  readonly registers: number;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
}

/** Registers, gathers and updates on one rank, as often as wanted. */
export async function runUpdates(device: Device, engine: EngineProcess, options: RunOptions): Promise<OurFigures> {
  const store = localStore();
  const server = await ParameterServer.create({ store, device, protocol: v1Protocol() });
  const client = vllmEngine({ endpoints: [{ url: engine.endpoint }] });
  try {
    const registerMs: number[] = [];
    let registered: Awaited<ReturnType<typeof server.registerCheckpoint>> | undefined;
    for (let round = 0; round < options.registers; round++) {
      if (registered !== undefined) await server.unregisterCheckpoint('weights');
      registered = await server.registerCheckpoint('weights', {
        files: options.folder,
        keepFiles: true,
        inPlace: false,
      });
      registerMs.push(registered.durationMs);
    }
    const gatherStartedAtMs = performance.now();
    await server.gatherMetas('weights');
    const gatherMs = performance.now() - gatherStartedAtMs;
    const updateMs: number[] = [];
    const results: UpdateResult[] = [];
    for (let round = 0; round < options.updates; round++) {
      const startedAtMs = performance.now();
      results.push(
        await server.update('weights', {
          requestEngine: ({ handles, signal, timeoutMs }) => client.update({ handles, signal, timeoutMs }),
          bucketBytes: options.bucketBytes,
          deviceMemoryBytes: options.deviceMemoryBytes,
        }),
      );
      updateMs.push(performance.now() - startedAtMs);
    }
    const { poolBytes, sizeBytes, tensorCount } = registered!;
    return { registerMs, gatherMs, updateMs, results, poolBytes, sizeBytes, tensorCount };
  } finally {
    await server.close();
    await store.close();
  }
}
