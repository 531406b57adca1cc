import type { Device, SpecVersion } from './device.ts';
import type { MemoryKind, MemoryRange } from './memory.ts';
import type { Store } from './store.ts';

/** What a broadcast transport can do. What it does not support it refuses with `CE_NOT_SUPPORTED`, never silently. */
export interface BroadcastSupports {
  /** Kinds of memory it sends from and receives into. */
  readonly memory: readonly MemoryKind[];
  /** The root may send from a range other than the one it receives into. */
  readonly outOfPlace: boolean;
  /** {@link BroadcastGroup.broadcastShared} works: members on one host can have one copy between them. */
  readonly sharedTarget: boolean;
  /** Most broadcasts that may be pending at a time on one group. */
  readonly maxPending: number;
}

/** Options of {@link BroadcastTransport.join}. */
export interface JoinOptions {
  /** A scope that only this group uses; its members are the group. */
  readonly store: Store;
  readonly device: Device;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The ranges of one broadcast at one member. */
export interface BroadcastBuffers {
  /** Where the bytes end up, at every member, the root included. */
  readonly target: MemoryRange;
  /** At the root: where the bytes are. Of the same size as `target`. @default `target` (in place) */
  readonly source?: MemoryRange | undefined;
}

/** One broadcast into memory that all members have mapped. */
export interface SharedBroadcast {
  /** Where the bytes end up: the same range of the same shared memory at every member. */
  readonly target: MemoryRange;
  /**
   * At the root: writes the bytes into `target`. Called once, when every member has made its call and nothing that was
   * called before touches the range any more. Others leave it out.
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
   * Sends `root`'s bytes to every member's target. Resolves at a member when its target holds the bytes and, at the
   * root, when the source may be overwritten.
   *
   * @param root World rank of the sender.
   * @throws {RankLostError} A member died.
   * @throws {RangeError} `root` is no member, or sizes differ.
   */
  broadcast(root: number, buffers: BroadcastBuffers): Promise<void>;
  /**
   * Lets `root` write a range that every member reads: one copy for all of them instead of one each. A member that calls
   * says by it that the range may be overwritten. Resolves at a member when the range holds the bytes.
   *
   * Takes its turn among the calls of {@link BroadcastGroup.broadcast}, and counts as one of them.
   *
   * @throws `CE_NOT_SUPPORTED` where `supports.sharedTarget` is false.
   * @throws {RankLostError} A member died.
   * @throws {RangeError} `root` is no member, or the ranges differ. What `fill` throws rejects at every member.
   */
  broadcastShared(root: number, buffers: SharedBroadcast): Promise<void>;
  /** Makes every pending and later call on every member reject with `reason`, at once. Idempotent. */
  abort(reason: Error): void;
  /** Leaves the group when its pending calls are done. Idempotent. */
  close(): Promise<void>;
}

/** Moves bytes from one rank to all. */
export interface BroadcastTransport {
  readonly specVersion: SpecVersion;
  readonly name: string;
  readonly supports: BroadcastSupports;
  /** Joins the group that the store's members form. Every member calls it. */
  join(options: JoinOptions): Promise<BroadcastGroup>;
  /** Closes every group and releases what the transport holds. Idempotent. */
  close(): Promise<void>;
}
