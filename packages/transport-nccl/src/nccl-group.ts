import {
  abortError,
  type BroadcastBuffers,
  type BroadcastGroup,
  CheckpointEngineError,
  type Device,
  type JoinOptions,
  type Store,
} from '@checkpoint-engine/interface';
import { fromNativeError } from '@checkpoint-engine/native-kit';
import { checkCall } from './check-call.ts';
import { ncclCandidates } from './library.ts';
import { type NativeCommunicator, native } from './native.ts';
import { isPeersFault, untilFired } from './peer-news.ts';

/** Maximum number of broadcasts that may be pending on a group: enough to keep the stream busy. */
export const MAX_PENDING = 8;
const DEFAULT_TIMEOUT_MS = 120_000;
const ID_KEY = 'nccl-unique-id';

/** A group over one NCCL communicator. */
export class NcclGroup implements BroadcastGroup {
  readonly members: readonly number[];
  readonly #store: Store;
  readonly #communicator: NativeCommunicator;
  readonly #onClosed: () => void;
  readonly #onStoreFailed = (): void => this.abort(abortError(this.#store.signal, 'broadcast'));
  /** Keeps the memory that NCCL uses from being collected. */
  readonly #pending = new Set<BroadcastBuffers>();
  /** The first failure; it has ended the communicator, or will end it soon. */
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;

  private constructor(store: Store, communicator: NativeCommunicator, onClosed: () => void) {
    this.members = store.members;
    this.#store = store;
    this.#communicator = communicator;
    this.#onClosed = onClosed;
    store.signal.addEventListener('abort', this.#onStoreFailed, { once: true });
    if (store.signal.aborted) this.#onStoreFailed();
  }

  /**
   * Joins the communicator of the store's members. Every member must call it. A member that fails notifies the others.
   *
   * @param onClosed Called after the group has left, so that the owner can stop tracking it.
   */
  static async join(options: JoinOptions, onClosed: (group: NcclGroup) => void): Promise<NcclGroup> {
    const { store, device, signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    checkDevice(device, store.rank);
    if (signal?.aborted) throw abortError(signal, 'join');
    const startedAtMs = performance.now();
    const candidates = ncclCandidates();
    const rank = store.members.indexOf(store.rank);
    const id = rank === 0 ? await publishId(store, candidates) : await store.wait(ID_KEY, { timeoutMs, signal });
    const leftMs = Math.max(1, Math.ceil(timeoutMs - (performance.now() - startedAtMs)));
    const { communicator, ready } = native().join(candidates, device.index, rank, store.members.length, id, leftMs);
    const group: NcclGroup = new NcclGroup(store, communicator, () => onClosed(group));
    await group.#untilJoined(ready, signal);
    return group;
  }

  async broadcast(root: number, buffers: BroadcastBuffers): Promise<void> {
    this.#checkUsable();
    const { target } = buffers;
    const { rootIndex, send, receive } = checkCall(root, buffers, this.members, this.#store.rank);
    if (target.sizeBytes === 0) return;
    if (this.#pending.size >= MAX_PENDING) throw tooManyPending(this.#store.rank);
    const pending = { ...buffers };
    this.#pending.add(pending);
    try {
      await native().broadcast(this.#communicator, send, receive, target.sizeBytes, rootIndex);
    } catch (error) {
      throw await this.#explain(error);
    } finally {
      this.#pending.delete(pending);
    }
  }

  async broadcastShared(): Promise<void> {
    this.#checkUsable();
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      'With NCCL, every GPU has its own copy',
      'Use broadcast(); check supports.sharedTarget first',
      { rank: this.#store.rank, op: 'broadcast' },
    );
  }

  abort(reason: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    // The store notifies the other members, because NCCL cannot.
    if (!this.#store.signal.aborted) this.#store.abort(reason).catch(() => {});
    native().abort(this.#communicator);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Until the group has left, the loss of a peer must end pending calls and the leaving itself.
    await native().close(this.#communicator);
    this.#store.signal.removeEventListener('abort', this.#onStoreFailed);
    this.#failure ??= closedError(this.#store.rank);
    this.#onClosed();
  }

  async #untilJoined(ready: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    const giveUp = (): void => this.abort(abortError(signal!, 'join'));
    signal?.addEventListener('abort', giveUp, { once: true });
    if (signal?.aborted) giveUp();
    try {
      await ready;
    } catch (error) {
      this.#store.signal.removeEventListener('abort', this.#onStoreFailed);
      throw await this.#explain(error);
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** Returns the error for a failed call: the reason of an abort, the loss of a peer, or NCCL's own error. */
  async #explain(error: unknown): Promise<Error> {
    const failure = fromNativeError(error, { rank: this.#store.rank }) as Error;
    if (this.#failure === undefined && isPeersFault(failure)) await untilFired(this.#store.signal);
    this.abort(this.#store.signal.aborted ? abortError(this.#store.signal) : failure);
    return this.#failure!;
  }

  #checkUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError(this.#store.rank);
  }
}

async function publishId(store: Store, candidates: readonly string[]): Promise<Uint8Array> {
  let id: Uint8Array;
  try {
    id = await native().uniqueId(candidates);
  } catch (error) {
    throw fromNativeError(error, { rank: store.rank });
  }
  await store.set(ID_KEY, id);
  return id;
}

function checkDevice({ kind }: Device, rank: number): void {
  if (kind === 'cuda') return;
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `NCCL moves the memory of GPUs, but this device is of kind "${kind}"`,
    'Use transport-shm for the host device',
    { rank, op: 'join' },
  );
}

function tooManyPending(rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `${MAX_PENDING} broadcasts are pending on this NCCL group, which is the maximum`,
    'Wait for an earlier broadcast first',
    { rank, op: 'broadcast' },
  );
}

function closedError(rank: number): CheckpointEngineError {
  return new CheckpointEngineError('CE_CLOSED', 'This NCCL group is closed', 'Join a new one', { rank });
}
