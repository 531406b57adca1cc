import {
  type BroadcastBuffers,
  type BroadcastGroup,
  CheckpointEngineError,
  type Device,
  type JoinOptions,
  type MemoryRange,
  type Store,
} from '@checkpoint-engine/interface';
import { fromNativeError } from '@checkpoint-engine/native-kit';
import { ncclCandidates } from './library.ts';
import { type NativeCommunicator, native } from './native.ts';

/** NCCL's own fault can be a peer's death, which the store knows by name a little later: the time to wait for it. */
const PEER_NEWS_MS = 8_000;
const DEFAULT_TIMEOUT_MS = 120_000;
const ID_KEY = 'nccl-unique-id';

/** A group over one NCCL communicator. */
export class NcclGroup implements BroadcastGroup {
  readonly members: readonly number[];
  readonly #store: Store;
  readonly #device: Device;
  readonly #timeoutMs: number;
  readonly #communicator: NativeCommunicator;
  readonly #onLost: () => void;
  readonly #children = new Set<NcclGroup>();
  #ended: Error | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: JoinOptions, timeoutMs: number, communicator: NativeCommunicator) {
    this.members = options.store.members;
    this.#store = options.store;
    this.#device = options.device;
    this.#timeoutMs = timeoutMs;
    this.#communicator = communicator;
    this.#onLost = () => this.abort(this.#store.signal.reason as Error);
    this.#store.signal.addEventListener('abort', this.#onLost, { once: true });
  }

  /** Joins the communicator of the store's members. Every member calls it. */
  static async join(options: JoinOptions): Promise<NcclGroup> {
    const { store, device, signal } = options;
    if (device.kind !== 'cuda') {
      throw new CheckpointEngineError(
        'CE_NOT_SUPPORTED',
        `NCCL moves the memory of GPUs, and this device is of kind "${device.kind}"`,
        'Use transport-shm for the host device',
        { rank: store.rank, op: 'join' },
      );
    }
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const candidates = ncclCandidates();
    const rank = store.members.indexOf(store.rank);
    const id = rank === 0 ? await publishId(store, candidates) : await store.wait(ID_KEY, { timeoutMs, signal });
    const { communicator, ready } = native().join(candidates, device.index, rank, store.members.length, id, timeoutMs);
    const abort = (): void => native().abort(communicator);
    for (const source of [signal, store.signal]) source?.addEventListener('abort', abort, { once: true });
    try {
      if (signal?.aborted || store.signal.aborted) abort();
      await ready;
    } catch (error) {
      throw reasonOf(signal) ?? reasonOf(store.signal) ?? fromNativeError(error, { rank: store.rank });
    } finally {
      for (const source of [signal, store.signal]) source?.removeEventListener('abort', abort);
    }
    return new NcclGroup(options, timeoutMs, communicator);
  }

  async broadcast(root: number, { target, source = target }: BroadcastBuffers): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    const rootIndex = this.members.indexOf(root);
    if (rootIndex < 0) throw new RangeError(`root must be one of [${this.members.join(', ')}]: ${root}`);
    if (source.sizeBytes !== target.sizeBytes) {
      throw new RangeError(
        `source and target must have the same size: ${source.sizeBytes} and ${target.sizeBytes} bytes`,
      );
    }
    const isRoot = root === this.#store.rank;
    const receive = addressOf(target, 'target');
    const send = isRoot ? addressOf(source, 'source') : receive;
    if (target.sizeBytes === 0) return;
    try {
      await native().broadcast(this.#communicator, send, receive, target.sizeBytes, rootIndex);
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  async split(name: string, members: readonly number[]): Promise<BroadcastGroup> {
    const store = this.#store.epoch(`split:${name}`, members);
    const child = await NcclGroup.join({ store, device: this.#device, timeoutMs: this.#timeoutMs });
    this.#children.add(child);
    return child;
  }

  abort(reason: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    // The others hear of it through the store: NCCL has no word for it.
    this.#store.abort(reason).catch(() => {});
    native().abort(this.#communicator);
    for (const child of this.#children) child.abort(reason);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const child of this.#children) await child.close();
    this.#ended ??= new CheckpointEngineError('CE_CLOSED', 'This NCCL group is closed', 'Join a new one');
    this.#store.signal.removeEventListener('abort', this.#onLost);
    await native().close(this.#communicator);
  }

  /** What to throw for a failed broadcast: the reason of an abort, the loss of a peer, or NCCL's own words. */
  async #explain(error: unknown): Promise<unknown> {
    if (this.#ended !== undefined) return this.#ended;
    await aborted(this.#store.signal, PEER_NEWS_MS);
    const failure = this.#ended ?? reasonOf(this.#store.signal) ?? fromNativeError(error, { rank: this.#store.rank });
    this.abort(failure as Error);
    return failure;
  }
}

async function publishId(store: Store, candidates: readonly string[]): Promise<Uint8Array> {
  try {
    const id = await native().uniqueId(candidates);
    await store.set(ID_KEY, id);
    return id;
  } catch (error) {
    throw fromNativeError(error, { rank: store.rank });
  }
}

function reasonOf(signal: AbortSignal | undefined): unknown {
  return signal?.aborted === true ? signal.reason : undefined;
}

function addressOf({ memory, offsetBytes, sizeBytes }: MemoryRange, name: string): bigint {
  if (memory.kind !== 'device') throw new TypeError(`${name} must be device memory`);
  if (offsetBytes < 0 || offsetBytes + sizeBytes > memory.sizeBytes) {
    throw new RangeError(
      `${name} must lie inside its memory of ${memory.sizeBytes} bytes: ${sizeBytes} bytes at ${offsetBytes}`,
    );
  }
  return memory.address + BigInt(offsetBytes);
}

/** Resolves when the signal fires, at the latest after the time-out. */
function aborted(signal: AbortSignal, timeoutMs: number): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, timeoutMs);
    signal.addEventListener('abort', end);
  });
}
