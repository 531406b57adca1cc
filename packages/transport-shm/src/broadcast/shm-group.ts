import {
  type BroadcastBuffers,
  type BroadcastGroup,
  CheckpointEngineError,
  type Device,
  type MemoryRange,
  RankLostError,
  type SharedBroadcast,
  type Store,
  toCheckpointEngineError,
} from '@checkpoint-engine/interface';
import { SegmentCache } from '../memory/segment-cache.ts';
import type { Connection } from '../wire/connection.ts';
import { encodeFrame } from '../wire/frame-codec.ts';
import { fromWireError, toWireError } from '../wire/wire-error.ts';
import { AwaitFillCall } from './await-fill-call.ts';
import type { Call, CallContext } from './call.ts';
import { checkBuffers } from './check-buffers.ts';
import { FillCall } from './fill-call.ts';
import type { AbortFrame, ByeFrame, CallFrame, GroupFrame } from './frames.ts';
import { Fuse } from './fuse.ts';
import { Order, type Step } from './order.ts';
import { readGroupFrame } from './read-frame.ts';
import { ReceiveCall } from './receive-call.ts';
import { SendCall } from './send-call.ts';
import { overlap, sharedTarget } from './shared-target.ts';

/**
 * Maximum number of calls by which a member may be ahead of this one: far more than the broadcasts that may be pending
 * at a time.
 */
const maxCallsAhead = 65_536;
/** Frames of one call that this member has not made yet, from each other member. */
const maxEarlyFrames = 8;

/** The parts of a group. */
export interface GroupParts {
  readonly store: Store;
  readonly device: Device;
  readonly peers: ReadonlyMap<number, Connection>;
  readonly maxPending: number;
  readonly beforeReceive: CallContext['beforeReceive'];
  /** Runs when the group has closed. */
  readonly onClose: (group: BroadcastGroup) => void;
}

/** A group of members that copy from each other's shared memory. */
export class ShmGroup implements BroadcastGroup {
  readonly members: readonly number[];
  readonly #parts: GroupParts;
  readonly #context: CallContext;
  readonly #fuse = new Fuse();
  readonly #order = new Order();
  readonly #calls = new Map<number, Call>();
  /** The ranges that pending calls read or write at this member. */
  readonly #ranges = new Map<number, readonly MemoryRange[]>();
  readonly #running = new Set<Promise<void>>();
  /** Frames of calls that this member has not made yet. */
  readonly #early = new Map<number, { from: number; frame: CallFrame }[]>();
  /** Peers that have left, with the number of their calls. */
  readonly #left = new Map<number, number>();
  readonly #onStoreFailure = (): void => this.#fail(this.#parts.store.signal.reason as Error);
  #nextCall = 0;
  #closing: Promise<void> | undefined;
  /** This member has left: it ignores its peers from now on. */
  #hasLeft = false;

  constructor(parts: GroupParts) {
    const { store, device, peers, beforeReceive } = parts;
    this.members = store.members;
    this.#parts = parts;
    const segments = new SegmentCache(device);
    const stream = device.createStream(`transport-shm ${store.epochName}`);
    this.#context = { rank: store.rank, peers, segments, stream, fuse: this.#fuse, beforeReceive };
    for (const [rank, connection] of peers) {
      connection.consume((frame) => this.#receive(rank, readGroupFrame(frame)));
      connection.closed.then(() => this.#onDisconnect(rank));
    }
    store.signal.addEventListener('abort', this.#onStoreFailure);
    if (store.signal.aborted) this.#onStoreFailure();
  }

  async broadcast(root: number, buffers: BroadcastBuffers): Promise<void> {
    const isRoot = this.#checkRoot(root);
    const { target } = buffers;
    const source = checkBuffers(buffers, isRoot);
    await this.#begin([target, source], (call, before) =>
      isRoot
        ? new SendCall(call, this.#context, source, target, before)
        : new ReceiveCall(call, this.#context, root, target, before),
    );
  }

  async broadcastShared(root: number, { target, fill }: SharedBroadcast): Promise<void> {
    const isRoot = this.#checkRoot(root);
    const shared = sharedTarget(target);
    if (isRoot && fill === undefined) throw new TypeError('The root of a shared broadcast must pass fill');
    const isFree = ![...this.#ranges.values()].flat().some((range) => overlap(range, target));
    await this.#begin([target], (call, { quiet }) => {
      // Calls on other ranges are not awaited, so that several ranges of a ring can be filled at the same time.
      const mayWrite = isFree ? Promise.resolve() : quiet;
      return isRoot
        ? new FillCall(call, this.#context, shared, fill!, mayWrite)
        : new AwaitFillCall(call, this.#context, root, shared, mayWrite);
    });
  }

  abort(reason: Error): void {
    this.#fail(reason);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { peers, segments, stream } = this.#context;
    // Calls that failed early may still be copying.
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    this.#parts.store.signal.removeEventListener('abort', this.#onStoreFailure);
    this.#hasLeft = true;
    const bye: ByeFrame = { type: 'bye', calls: this.#nextCall };
    await Promise.all([...peers.values()].map((peer) => peer.end(bye)));
    segments.close();
    await stream.close();
    this.#parts.onClose(this);
  }

  /** Whether this member is the root. @throws {RangeError} The root is not a member. */
  #checkRoot(root: number): boolean {
    this.#refuseWhenOver();
    if (!this.members.includes(root)) throw new RangeError(`Rank ${root} is not one of the members ${this.members}`);
    return root === this.#context.rank;
  }

  /** Makes the next call, which uses these ranges, and passes it the frames that have already arrived for it. */
  async #begin(
    ranges: readonly MemoryRange[],
    make: (call: number, before: Step) => Call & { written: Promise<void>; read?: Promise<void> },
  ): Promise<void> {
    this.#refuseTooMany();
    const call = this.#nextCall++;
    this.#ranges.set(call, ranges);
    const done = this.#order.enter((before) => {
      const made = make(call, before);
      this.#calls.set(call, made);
      return { written: made.written, read: made.read ?? made.written };
    });
    const early = this.#early.get(call) ?? [];
    this.#early.delete(call);
    for (const { from, frame } of early) this.#accept(from, frame);
    await this.#run(call, done);
  }

  /** Reports the end of a call to the caller, or immediately the failure of the group. */
  async #run(call: number, done: Promise<void>): Promise<void> {
    const ended = done
      .catch((error: unknown) => this.#fail(error instanceof Error ? error : toCheckpointEngineError(error)))
      .finally(() => {
        this.#calls.delete(call);
        this.#ranges.delete(call);
        this.#running.delete(ended);
      });
    this.#running.add(ended);
    await this.#fuse.guard(ended);
  }

  #receive(from: number, frame: GroupFrame): void {
    switch (frame.type) {
      case 'abort':
        this.#fuse.blow(fromWireError(frame.error));
        return;
      case 'bye':
        this.#left.set(from, frame.calls);
        if (this.#nextCall > frame.calls) this.#fail(this.#leftError(from));
        return;
      default:
        this.#accept(from, frame);
    }
  }

  #accept(from: number, frame: CallFrame): void {
    const call = this.#calls.get(frame.call);
    if (call === undefined) {
      if (frame.call < this.#nextCall) return; // The call has failed and is over.
      const early = this.#early.get(frame.call) ?? [];
      if (frame.call > this.#nextCall + maxCallsAhead || early.length > maxEarlyFrames * this.members.length) {
        throw new RangeError(
          `Rank ${from} sends frames of broadcast ${frame.call}, but this member is at ${this.#nextCall}`,
        );
      }
      this.#early.set(frame.call, early);
      early.push({ from, frame });
      return;
    }
    try {
      call.accept(from, frame);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #onDisconnect(rank: number): void {
    if (this.#left.has(rank) || this.#hasLeft) return;
    this.#fail(new RankLostError(rank, `Rank ${rank} was lost: its connection broke`, { rank: this.#context.rank }));
  }

  /** Ends all calls at this member immediately, and notifies the others. */
  #fail(error: Error): void {
    if (this.#fuse.error !== undefined) return;
    this.#fuse.blow(error);
    this.#early.clear();
    const frame: AbortFrame = { type: 'abort', error: toWireError(error) };
    const bytes = encodeFrame(frame);
    for (const peer of this.#context.peers.values()) peer.write(bytes);
  }

  #refuseWhenOver(): void {
    if (this.#closing !== undefined) {
      throw new CheckpointEngineError('CE_CLOSED', 'The group is closed', 'Join a new group', { op: 'broadcast' });
    }
    if (this.#fuse.error !== undefined) throw this.#fuse.error;
    for (const [rank, calls] of this.#left) if (calls <= this.#nextCall) throw this.#leftError(rank);
  }

  #refuseTooMany(): void {
    const { maxPending } = this.#parts;
    if (this.#running.size < maxPending) return;
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      `${this.#running.size} broadcasts are pending, expected at most ${maxPending}`,
      'Wait for one of them, or raise maxPending',
      { op: 'broadcast' },
    );
  }

  #leftError(rank: number): CheckpointEngineError {
    return new CheckpointEngineError(
      'CE_CLOSED',
      `Rank ${rank} has left the group`,
      'Close a group only when all its members have finished with it, and join a new one',
      { peer: rank, op: 'broadcast' },
    );
  }
}
