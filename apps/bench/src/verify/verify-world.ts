import { createHostDevice } from '@checkpoint-engine/device';
import { localStore, ParameterServer, type UpdateResult, type VerifyMode, v2Protocol } from '@checkpoint-engine/ps';
import { copyingWorker, receiveUpdate, wholeOf } from '@checkpoint-engine/worker';

const NAME = 'weights';

/** One rank on the host device with one of our workers, which pulls if the pool is shared. */
export interface VerifyWorld {
  /** Registers files into a new pool, with or without digests. @returns Milliseconds. */
  register(files: readonly string[], digests: boolean): Promise<number>;
  update(verify: VerifyMode): Promise<{ readonly ms: number; readonly result: UpdateResult }>;
  /** SHA-256 of each tensor in the worker. */
  held(): Promise<ReadonlyMap<string, string>>;
  close(): Promise<void>;
}

/** Starts a world whose worker pulls, or receives buckets. */
export async function startVerifyWorld(method: 'pull' | 'buckets'): Promise<VerifyWorld> {
  const store = localStore();
  const device = await createHostDevice();
  const workerDevice = await createHostDevice();
  const worker = copyingWorker({ device: workerDevice, ...(method === 'pull' ? { keep: wholeOf } : {}) });
  const common = { store, device, protocol: v2Protocol(), sharePools: method === 'pull' };
  let server: ParameterServer | undefined;
  return {
    async register(files, digests) {
      if (server !== undefined) await server.unregisterCheckpoint(NAME, { force: true });
      server ??= await ParameterServer.create(common);
      const startMs = performance.now();
      await server.registerCheckpoint(NAME, { files }, { digests });
      const ms = performance.now() - startMs;
      await server.gatherMetas(NAME);
      return ms;
    },
    async update(verify) {
      const startMs = performance.now();
      const result = await server!.update(NAME, {
        ...{ method, verify, inferenceParallelSize: 1 },
        requestEngine: async ({ handles, signal }) => {
          const [address] = Object.values(handles);
          const update = await receiveUpdate(address!, { device: workerDevice, puller: worker.puller, signal });
          try {
            await worker.receive(update);
          } finally {
            await update.close();
          }
        },
      });
      return { ms: performance.now() - startMs, result };
    },
    held: () => worker.digests(),
    async close() {
      await server?.close();
      await worker.close();
      await store.close();
      await device.close();
      await workerDevice.close();
    },
  };
}
