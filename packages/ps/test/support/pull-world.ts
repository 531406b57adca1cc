import { createHash } from 'node:crypto';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import type { P2PTransport, Store } from '@checkpoint-engine/interface';
import {
  type CheckpointSource,
  connectStore,
  type NamedTensor,
  ParameterServer,
  type ProgressEvent,
  type StoreServer,
  startStoreServer,
  type UpdateOptions,
  type UpdateResult,
  v2Protocol,
} from '@checkpoint-engine/ps';
import { shm, shmP2P } from '@checkpoint-engine/transport-shm';
import {
  type CopyingWorker,
  type CopyingWorkerOptions,
  copyingWorker,
  type IncomingUpdate,
  receiveUpdate,
  wholeOf,
} from '@checkpoint-engine/worker';

export { tensorParallel } from './tensor-parallel.mjs';

/** The slices that a rank's worker keeps. */
export type KeepOf = (rank: number) => Omit<CopyingWorkerOptions, 'device'>;

/** Options of the ranks of a test. */
export interface PullWorldOptions {
  readonly keepOf: KeepOf;
  readonly sharePools?: boolean;
  readonly p2p?: boolean;
  /** By rank. @default one host */
  readonly hostOf?: (rank: number) => string;
  readonly nicsOf?: (rank: number) => readonly string[];
  /** Wraps parts of a rank, for example to damage bytes. */
  readonly around?: {
    readonly device?: (device: HostDevice, rank: number) => HostDevice;
    readonly workerDevice?: (device: HostDevice, rank: number) => HostDevice;
    readonly p2p?: (transport: P2PTransport, rank: number) => P2PTransport;
  };
  /** Distinguishes devices of several worlds. @default 0 */
  readonly firstDevice?: number;
}

/** Tensors of each kind that {@link tensorParallel} knows, with bytes that follow from the seed. */
export function modelTensors(seed: number, layers = 3): NamedTensor[] {
  const tensors: NamedTensor[] = [];
  const add = (name: string, dtype: 'BF16' | 'F32' | 'U8', shape: readonly number[]): void => {
    const sizeBytes = shape.reduce((a, b) => a * b, { BF16: 2, F32: 4, U8: 1 }[dtype]);
    const bytes = new Uint8Array(sizeBytes);
    let state = tensors.length * 7919 + seed * 104729 + 1;
    for (let at = 0; at < sizeBytes; at++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      bytes[at] = state >>> 24;
    }
    tensors.push({ name, dtype, shape, bytes });
  };
  for (let layer = 0; layer < layers; layer++) {
    add(`row.${layer}`, 'BF16', [64, 33]);
    add(`column.${layer}`, 'BF16', [40, 96]);
    for (let expert = 0; expert < 4; expert++) add(`expert.${expert}.${layer}`, 'U8', [3, 777]);
    add(`norm.${layer}`, 'F32', [57]);
    add(`scale.${layer}`, 'F32', []);
    add(`empty.${layer}`, 'F32', [0, 4]);
  }
  return tensors;
}

/** The SHA-256 of each tensor or slice that a worker must hold, by name. */
export function expected(tensors: readonly NamedTensor[], keep: CopyingWorkerOptions['keep']): Record<string, string> {
  const digests: Record<string, string> = {};
  for (const { name, dtype, shape, bytes } of tensors) {
    const tensor = { name, dtype, shape, sizeBytes: bytes.byteLength };
    const slices = keep === undefined ? wholeOf(tensor) : keep(tensor);
    if (slices === undefined) continue;
    const hash = createHash('sha256');
    for (const { offsetBytes, rows, rowBytes, pitchBytes } of slices) {
      for (let row = 0; row < rows; row++) {
        const from = offsetBytes + row * pitchBytes;
        hash.update(bytes.subarray(from, from + rowBytes));
      }
    }
    digests[name] = hash.digest('hex');
  }
  return digests;
}

/** Ranks of one world in this process, each with a worker. */
export class PullWorld {
  readonly servers: ParameterServer[] = [];
  readonly workers: CopyingWorker[] = [];
  readonly events: ProgressEvent[] = [];
  /** Called with each update that a worker receives, before its buckets. */
  onReceive: (rank: number, update: IncomingUpdate) => void = () => {};
  readonly #devices: HostDevice[] = [];
  readonly #workerDevices: HostDevice[] = [];
  readonly #stores: Store[] = [];
  readonly #transports: P2PTransport[] = [];
  #storeServer: StoreServer | undefined;

  static async start(size: number, options: PullWorldOptions): Promise<PullWorld> {
    const world = new PullWorld();
    const storeServer = await startStoreServer({ port: 0, worldSize: size });
    world.#storeServer = storeServer;
    const { address } = storeServer;
    await Promise.all(
      Array.from({ length: size }, async (_, rank) => {
        const index = (options.firstDevice ?? 0) + rank;
        const { around = {} } = options;
        const own = await createHostDevice({ index, threads: 2 });
        const device = around.device?.(own, rank) ?? own;
        const store = await connectStore({ address, rank, worldSize: size, timeoutMs: 20_000 });
        const transport = options.p2p === true ? shmP2P({ unregisterTimeoutMs: 5_000 }) : undefined;
        const p2p = transport && (around.p2p?.(transport, rank) ?? transport);
        world.#devices[rank] = device;
        world.#stores[rank] = store;
        if (p2p !== undefined) world.#transports.push(p2p);
        world.servers[rank] = await ParameterServer.create({
          ...{ store, device, p2p, protocol: v2Protocol(), sharePools: options.sharePools },
          ...{ host: options.hostOf?.(rank), nics: options.nicsOf?.(rank) },
          broadcast: size > 1 ? shm() : undefined,
        });
        const workerDevice = await createHostDevice({ index, threads: 2 });
        world.#workerDevices[rank] = around.workerDevice?.(workerDevice, rank) ?? workerDevice;
        world.workers[rank] = copyingWorker({ device: world.#workerDevices[rank]!, ...options.keepOf(rank) });
      }),
    );
    return world;
  }

  get size(): number {
    return this.servers.length;
  }

  async register(name: string, sourceOf: (rank: number) => CheckpointSource): Promise<void> {
    await Promise.all(this.servers.map((server, rank) => server.registerCheckpoint(name, sourceOf(rank))));
    await Promise.all(this.servers.map((server) => server.gatherMetas(name)));
  }

  /** Registers tensors, and distributes them over the ranks by their positions. */
  async registerTensors(name: string, tensors: readonly NamedTensor[]): Promise<void> {
    await this.register(name, (rank) => ({ tensors: tensors.filter((_, at) => at % this.size === rank) }));
  }

  async unregister(name: string): Promise<void> {
    await Promise.all(this.servers.map((server) => server.unregisterCheckpoint(name)));
  }

  update(name: string, options: Partial<UpdateOptions> = {}): Promise<UpdateResult[]> {
    return this.onAll((server, rank) => server.update(name, this.optionsOf(rank, options)));
  }

  prepare(name: string, options: Partial<UpdateOptions> = {}): Promise<(UpdateResult | undefined)[]> {
    return this.onAll((server, rank) => server.prepare(name, this.optionsOf(rank, options)));
  }

  /** Runs a function for all ranks. Throws the first failure after all have ended. */
  async onAll<T>(work: (server: ParameterServer, rank: number) => Promise<T>): Promise<T[]> {
    const outcomes = await Promise.allSettled(this.servers.map(work));
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
  }

  optionsOf(rank: number, options: Partial<UpdateOptions>): UpdateOptions {
    return {
      inferenceParallelSize: 1,
      timeoutMs: 20_000,
      requestEngine: async ({ handles, signal }) => {
        const [address] = Object.values(handles);
        await this.receive(rank, address!, signal);
      },
      onEvent: (event) => this.events.push(event),
      ...options,
    };
  }

  /** Makes the worker of a rank receive an update at an address. */
  async receive(rank: number, address: string, signal?: AbortSignal): Promise<void> {
    const worker = this.workers[rank]!;
    const update = await receiveUpdate(address, {
      ...{ device: this.#workerDevices[rank]!, puller: worker.puller, signal, timeoutMs: 20_000 },
    });
    try {
      this.onReceive(rank, update);
      await worker.receive(update);
    } finally {
      await update.close();
    }
  }

  async digests(rank: number): Promise<Record<string, string>> {
    return Object.fromEntries(await this.workers[rank]!.digests());
  }

  async close(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.close()));
    for (const worker of this.workers) await worker.close();
    for (const transport of this.#transports) await transport.close();
    for (const store of this.#stores) await store.close();
    for (const device of [...this.#devices, ...this.#workerDevices]) await device.close();
    await this.#storeServer?.close();
  }
}
