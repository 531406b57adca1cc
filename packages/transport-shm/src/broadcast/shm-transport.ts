import {
  type BroadcastGroup,
  type BroadcastSupports,
  type BroadcastTransport,
  CheckpointEngineError,
  type JoinOptions,
} from '@checkpoint-engine/interface';
import { refuseOtherDevices } from '../memory/range-checks.ts';
import { withDeadline } from '../wire/deadline.ts';
import { connectMesh } from '../wire/mesh.ts';
import { ShmGroup } from './shm-group.ts';

const defaultMaxPending = 64;
const defaultJoinTimeoutMs = 60_000;

/** Options of {@link shm}. */
export interface ShmOptions {
  /** Maximum number of broadcasts that may be pending at a time on one group. @default 64 */
  readonly maxPending?: number | undefined;
  /**
   * For tests: runs at a receiver before it copies. If it waits, the receiver is slow; if it throws, the receiver
   * fails.
   * @default nothing
   */
  readonly beforeReceive?: ((root: number, sizeBytes: number, call: number) => Promise<void>) | undefined;
}

/**
 * Creates the broadcast transport between processes of one host: each receiver copies directly from the root's shared
 * memory, all of them at the same time. Roots can send only memory that the host device shares.
 *
 * @example
 * const group = await shm().join({ store, device: await createHostDevice() });
 * await group.broadcast(0, { target: { memory, offsetBytes: 0, sizeBytes: memory.sizeBytes } });
 */
export function shm(options: ShmOptions = {}): BroadcastTransport {
  return new ShmTransport(options);
}

class ShmTransport implements BroadcastTransport {
  readonly specVersion = 1;
  readonly name = 'shm';
  readonly supports: BroadcastSupports;
  readonly #options: ShmOptions;
  readonly #groups = new Set<BroadcastGroup>();
  readonly #closing = new AbortController();

  constructor(options: ShmOptions) {
    const { maxPending = defaultMaxPending } = options;
    if (!Number.isSafeInteger(maxPending) || maxPending < 1) {
      throw new RangeError(`maxPending must be 1 or more: ${maxPending}`);
    }
    this.#options = options;
    this.supports = { memory: ['host'], outOfPlace: true, sharedTarget: true, maxPending };
  }

  async join(options: JoinOptions): Promise<BroadcastGroup> {
    const { store, device, timeoutMs = defaultJoinTimeoutMs, signal } = options;
    refuseOtherDevices(device);
    const limits = {
      what: `Joining ranks ${store.members} as rank ${store.rank}`,
      timeoutMs,
      signals: [this.#closing.signal, signal, store.signal],
    };
    const peers = await withDeadline(limits, (deadline) => connectMesh(store, timeoutMs, deadline));
    const group = new ShmGroup({
      store,
      device,
      peers,
      maxPending: this.supports.maxPending,
      beforeReceive: this.#options.beforeReceive,
      onClose: (closed) => void this.#groups.delete(closed),
    });
    this.#groups.add(group);
    return group;
  }

  async close(): Promise<void> {
    this.#closing.abort(
      new CheckpointEngineError('CE_CLOSED', 'The transport is closed', 'Create a new one with shm()', { op: 'join' }),
    );
    await Promise.all([...this.#groups].map((group) => group.close()));
  }
}
