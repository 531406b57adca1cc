import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import type { Device, Store } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
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
import { type RdmaOptions, rdma } from '@checkpoint-engine/transport-rdma';
import { shm } from '@checkpoint-engine/transport-shm';

/** A rank's place in its world, its device and its peers. Plain data, which is sent to rank processes. */
export interface RankIdentity {
  readonly rank: number;
  readonly worldSize: number;
  readonly port: number;
  readonly device: { readonly kind: 'cuda' | 'host'; readonly index: number };
  /** Our own worker at a Unix socket, or an engine with vLLM's route. Absent if the rank updates no engine. */
  readonly engine?: { readonly workerSocket: string } | { readonly vllmUrl: string } | undefined;
  /** The P2P transport, with which ranks read each other's pools. */
  readonly p2p?: RdmaOptions | undefined;
  readonly nics?: readonly string[] | undefined;
}

/** One rank in this process. */
export interface OpenRank {
  /** When the device was ready, in milliseconds since the epoch. */
  readonly deviceMadeAtMs: number;
  readonly device: Device;
  readonly store: Store;
  readonly server: ParameterServer;
  readonly engine: EngineClient | undefined;
  close(): Promise<void>;
}

/** Joins the world; resolves when all ranks have joined. */
export async function openRank(identity: RankIdentity): Promise<OpenRank> {
  const { rank, worldSize, port, engine, nics } = identity;
  const { kind, index } = identity.device;
  const device = kind === 'host' ? await createHostDevice({ index }) : await createCudaDevice({ index });
  const deviceMadeAtMs = nowMs();
  const store = await openStore({ rank, worldSize, masterAddr: '127.0.0.1', masterPort: port });
  const broadcast = worldSize === 1 ? undefined : kind === 'host' ? shm() : nccl();
  const p2p = identity.p2p && rdma(identity.p2p);
  const protocol = engine !== undefined && 'vllmUrl' in engine ? v1Protocol() : v2Protocol();
  const server = await ParameterServer.create({ store, device, broadcast, p2p, nics, protocol });
  return {
    deviceMadeAtMs,
    device,
    store,
    server,
    engine: engine && clientOf(engine),
    async close() {
      await server.close();
      await broadcast?.close();
      await p2p?.close();
      await store.close();
      await device.close();
    },
  };
}

function clientOf(engine: NonNullable<RankIdentity['engine']>): EngineClient {
  return 'vllmUrl' in engine
    ? vllmEngine({ endpoints: [{ url: engine.vllmUrl }] })
    : workerEngine({ endpoints: [{ url: 'http://worker', uds: engine.workerSocket }] });
}
