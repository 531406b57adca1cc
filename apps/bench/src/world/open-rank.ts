import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import type { Device, Store } from '@checkpoint-engine/interface';
import {
  type EngineClient,
  openStore,
  ParameterServer,
  v1Protocol,
  v2Protocol,
  vllmEngine,
  workerEngine,
} from '@checkpoint-engine/ps';
import { nccl } from '@checkpoint-engine/transport-nccl';
import { shm } from '@checkpoint-engine/transport-shm';

/** Who a rank is and what it speaks to. Plain data: it travels to rank processes. */
export interface RankIdentity {
  readonly rank: number;
  readonly worldSize: number;
  readonly port: number;
  /** `host`, or the CUDA ordinal of this rank's GPU. */
  readonly device: 'host' | number;
  /** Our own worker behind a Unix socket, or an engine that speaks vLLM's route. */
  readonly engine: { readonly workerSocket: string } | { readonly vllmUrl: string };
}

/** One rank in this process. */
export interface OpenRank {
  /** When the device was there. Milliseconds since the epoch. */
  readonly deviceMadeAtMs: number;
  readonly device: Device;
  readonly store: Store;
  readonly server: ParameterServer;
  readonly engine: EngineClient;
  close(): Promise<void>;
}

/** Joins the world; resolves when all ranks are there. */
export async function openRank({ rank, worldSize, port, device: at, engine }: RankIdentity): Promise<OpenRank> {
  const device = at === 'host' ? await createHostDevice({ index: rank }) : await createCudaDevice({ index: at });
  const deviceMadeAtMs = performance.timeOrigin + performance.now();
  const store = await openStore({ rank, worldSize, masterAddr: '127.0.0.1', masterPort: port });
  const broadcast = worldSize === 1 ? undefined : at === 'host' ? shm() : nccl();
  const protocol = 'vllmUrl' in engine ? v1Protocol() : v2Protocol();
  const server = await ParameterServer.create({ store, device, broadcast, protocol });
  return {
    deviceMadeAtMs,
    device,
    store,
    server,
    engine:
      'vllmUrl' in engine
        ? vllmEngine({ endpoints: [{ url: engine.vllmUrl }] })
        : workerEngine({ endpoints: [{ url: 'http://worker', uds: engine.workerSocket }] }),
    async close() {
      await server.close();
      await broadcast?.close();
      await store.close();
      await device.close();
    },
  };
}
