import type { Device, SpecVersion } from './device.ts';
import type { MemoryKind, MemoryRange } from './memory.ts';
import type { Store } from './store.ts';

/** The features of a broadcast transport. It refuses everything else with `CE_NOT_SUPPORTED`, never silently. */
export interface BroadcastSupports {
  /** Kinds of memory that it can send from and receive into. */
  readonly memory: readonly MemoryKind[];
  /** Whether the root may send from another range than the one into which it receives. */
  readonly outOfPlace: boolean;
  /** Whether {@link BroadcastGroup.broadcastShared} works: members on one host can share one copy. */
  readonly sharedTarget: boolean;
  /** Maximum number of broadcasts that may be pending at a time on one group. */
  readonly maxPending: number;
}

/** Options of {@link BroadcastTransport.join}. */
export interface JoinOptions {
  /** A scope that only this group uses; its members form the group. */
  readonly store: Store;
  readonly device: Device;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The ranges of one broadcast on one member. */
export interface BroadcastBuffers {
  /** Destination of the bytes, at every member including the root. */
  readonly target: MemoryRange;
  /** At the root: the range to send, of the same size as `target`. @default `target` (in place) */
  readonly source?: MemoryRange | undefined;
}

/** One broadcast into memory that all members have mapped. */
export interface SharedBroadcast {
  /** Destination of the bytes: the same range of the same shared memory at every member. */
  readonly target: MemoryRange;
  /**
   * At the root: writes the bytes into `target`. The transport calls it once, after every member has made its call and
   * every earlier call has finished with the range. Other members leave it out.
   */
  readonly fill?: (() => Promise<void>) | undefined;
}

/**
 * One group of ranks that broadcast to each other.
 *
 * Members call {@link BroadcastGroup.broadcast} in the same order with the same roots and sizes. Calls may be pending
 * at the same time, up to `maxPending`; they take effect in order.
 */
export interface BroadcastGroup {
  /** World ranks of the members, ascending. */
  readonly members: readonly number[];
  /**
   * Sends `root`'s bytes to every member's target. At a receiver the promise resolves when the target holds the bytes;
   * at the root it resolves when the caller may overwrite the source.
   *
   * @param root World rank of the sender.
   * @throws {RankLostError} A member died.
   * @throws {RangeError} `root` is not a member, or sizes differ.
   */
  broadcast(root: number, buffers: BroadcastBuffers): Promise<void>;
  /**
   * Lets `root` write a range that every member reads, so that all members share one copy. With its call, a member
   * allows the root to overwrite the range. The promise resolves at a member when the range holds the bytes.
   *
   * The call is ordered with the calls of {@link BroadcastGroup.broadcast}, and counts as one of them.
   *
   * @throws `CE_NOT_SUPPORTED` if `supports.sharedTarget` is false.
   * @throws {RankLostError} A member died.
   * @throws {RangeError} `root` is not a member, or the ranges differ. An error of `fill` rejects the call at every
   *   member.
   */
  broadcastShared(root: number, buffers: SharedBroadcast): Promise<void>;
  /** Makes every pending and later call on every member reject with `reason`, without waiting. Idempotent. */
  abort(reason: Error): void;
  /** Leaves the group after its pending calls are done. Idempotent. */
  close(): Promise<void>;
}

/** Moves bytes from one rank to all. */
export interface BroadcastTransport {
  readonly specVersion: SpecVersion;
  readonly name: string;
  readonly supports: BroadcastSupports;
  /** Joins the group of the store's members. Every member must call it. */
  join(options: JoinOptions): Promise<BroadcastGroup>;
  /** Closes every group and releases the transport's resources. Idempotent. */
  close(): Promise<void>;
}
