import { type FileHandle, open } from 'node:fs/promises';
import {
  type BroadcastBuffers,
  type BroadcastGroup,
  type BroadcastSupports,
  type BroadcastTransport,
  CheckpointEngineError,
  type JoinOptions,
  type MemoryRange,
  RankLostError,
  type Store,
} from '@checkpoint-engine/interface';
import type { HeapMemory } from './heap-device.ts';

/** Faults of {@link HeapBroadcast}; each one has occurred, or could occur, in a real transport. */
export type BroadcastMutation =
  | 'swaps-roots'
  | 'drops-last-byte'
  | 'writes-past-end'
  | 'latest-first'
  | 'sends-target-out-of-place'
  | 'ignores-abort'
  | 'changes-abort-reason'
  | 'hangs-on-loss'
  | 'names-wrong-rank'
  | 'hangs-on-mismatch'
  | 'accepts-any-root'
  | 'unlimited-pending'
  | 'broadcasts-after-close'
  | 'join-ignores-timeout'
  | 'mixes-groups'
  | 'leaks-files';

interface Call extends BroadcastBuffers {
  readonly rank: number;
  readonly root: number;
  resolve(): void;
  reject(error: Error): void;
}

/** The state that the members of one group share. */
class Meeting {
  readonly members: readonly number[];
  readonly calls: Call[][] = [];
  /** Complete calls that the mutation `latest-first` holds back. */
  readonly held: Call[][] = [];
  failure: Error | undefined;

  constructor(members: readonly number[]) {
    this.members = members;
  }

  fail(error: Error): void {
    this.failure ??= error;
    for (const call of this.calls.flat()) call.reject(this.failure);
  }
}

/** The groups of all worlds of this process. */
const meetings = new Map<string, Meeting>();

/** Notifies the members of a world that one of them is gone, unless the mutation prevents it. */
export function killHeapMember(worldName: string, rank: number, mutation?: BroadcastMutation): void {
  if (mutation === 'hangs-on-loss') return;
  for (const [name, meeting] of meetings) {
    if (!name.startsWith(`${worldName}/`) || !meeting.members.includes(rank)) continue;
    meeting.fail(new RankLostError(mutation === 'names-wrong-rank' ? rank + 1 : rank));
  }
}

/** A broadcast transport within one process: the smallest one that passes the suite, unless it is mutated. */
export class HeapBroadcast implements BroadcastTransport {
  readonly specVersion = 1;
  readonly name = 'heap';
  readonly supports: BroadcastSupports;
  readonly #worldName: string;
  readonly #mutation: BroadcastMutation | undefined;
  readonly #groups: HeapGroup[] = [];
  #closed = false;

  constructor(worldName: string, mutation?: BroadcastMutation, supports: Partial<BroadcastSupports> = {}) {
    this.#worldName = worldName;
    this.#mutation = mutation;
    const outOfPlace = mutation !== 'sends-target-out-of-place';
    this.supports = { memory: ['host'], outOfPlace, sharedTarget: false, maxPending: 4, ...supports };
  }

  async join({ store, timeoutMs, signal }: JoinOptions): Promise<HeapGroup> {
    if (this.#closed) throw new CheckpointEngineError('CE_CLOSED', 'The transport is closed', 'Create a new one');
    const wait = this.#mutation === 'join-ignores-timeout' ? { timeoutMs: 1e6 } : { timeoutMs, signal };
    await store.barrier('join', wait);
    const scope = this.#mutation === 'mixes-groups' ? store.members.join() : store.epochName;
    const name = `${this.#worldName}/${scope}`;
    const meeting = meetings.get(name) ?? new Meeting(store.members);
    meetings.set(name, meeting);
    const group = new HeapGroup(store, meeting, this.supports, this.#mutation);
    this.#groups.push(group);
    return group;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#groups.map((group) => group.close()));
  }
}

class HeapGroup implements BroadcastGroup {
  readonly members: readonly number[];
  readonly #store: Store;
  readonly #meeting: Meeting;
  readonly #supports: BroadcastSupports;
  readonly #mutation: BroadcastMutation | undefined;
  readonly #pending = new Set<Promise<void>>();
  #next = 0;
  #closed = false;
  #failure: Error | undefined;

  constructor(store: Store, meeting: Meeting, supports: BroadcastSupports, mutation: BroadcastMutation | undefined) {
    this.members = meeting.members;
    this.#store = store;
    this.#meeting = meeting;
    this.#supports = supports;
    this.#mutation = mutation;
  }

  async broadcast(root: number, buffers: BroadcastBuffers): Promise<void> {
    const { target, source = target } = buffers;
    this.#check();
    if (!this.members.includes(root) && this.#mutation !== 'accepts-any-root') throw new RangeError(`Root ${root}`);
    for (const range of [target, source]) checkRange(range);
    if (source.sizeBytes !== target.sizeBytes) throw new RangeError('The source is of another size');
    if (buffers.source && !this.#supports.outOfPlace && this.#mutation !== 'sends-target-out-of-place') {
      throw new CheckpointEngineError('CE_NOT_SUPPORTED', 'Only in place', 'Omit the source');
    }
    if (this.#pending.size >= this.#supports.maxPending && this.#mutation !== 'unlimited-pending') {
      throw new CheckpointEngineError('CE_NOT_SUPPORTED', 'Too many pending', 'Wait for one');
    }
    const done = new Promise<void>((resolve, reject) => {
      const call: Call = { rank: this.#store.rank, root, target, source: buffers.source, resolve, reject };
      this.#arrive(call, this.#next++);
    });
    this.#pending.add(done);
    await done.finally(() => this.#pending.delete(done));
  }

  async broadcastShared(): Promise<void> {
    this.#check();
    throw new CheckpointEngineError('CE_NOT_SUPPORTED', 'Heap memory is not shared', 'Use broadcast()');
  }

  abort(reason: Error): void {
    this.#failure ??= reason;
    if (this.#mutation === 'ignores-abort') return;
    this.#meeting.fail(this.#mutation === 'changes-abort-reason' ? new Error('Aborted') : reason);
  }

  async close(): Promise<void> {
    if (this.#mutation === 'broadcasts-after-close') return;
    await Promise.allSettled(this.#pending);
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed) throw new CheckpointEngineError('CE_CLOSED', 'The group is closed', 'Join again');
    const failure = this.#meeting.failure ?? this.#failure;
    if (failure !== undefined) throw failure;
  }

  #arrive(call: Call, place: number): void {
    const calls = this.#meeting.calls[place] ?? [];
    this.#meeting.calls[place] = calls;
    calls.push(call);
    const [first] = calls as [Call];
    const agree = calls.every((call) => call.root === first.root && call.target.sizeBytes === first.target.sizeBytes);
    if (!agree) {
      if (this.#mutation !== 'hangs-on-mismatch') this.#meeting.fail(new RangeError('The members do not agree'));
      return;
    }
    if (calls.length < this.members.length) return;
    if (this.#mutation !== 'latest-first') return void setImmediate(() => void this.#deliver(calls));
    const { held } = this.#meeting;
    if (held.push(calls) > 1) return;
    setTimeout(() => {
      for (const one of held.splice(0).reverse()) void this.#deliver(one);
    }, 30);
  }

  async #deliver(calls: Call[]): Promise<void> {
    if (this.#meeting.failure !== undefined) return;
    if (this.#mutation === 'leaks-files') leaked.push(await open('/dev/null'));
    const roots = calls.map((call) => call.rank);
    const sent = this.#mutation === 'swaps-roots' ? roots.find((rank) => rank !== calls[0]!.root) : calls[0]!.root;
    const sender = calls.find((call) => call.rank === (sent ?? calls[0]!.root))!;
    const source = this.#mutation === 'sends-target-out-of-place' ? sender.target : (sender.source ?? sender.target);
    const drop = this.#mutation === 'drops-last-byte' ? 1 : 0;
    const bytes = bytesOf(source).slice(0, Math.max(0, source.sizeBytes - drop));
    for (const { target, resolve } of calls) {
      bytesOf(target).set(bytes);
      if (this.#mutation === 'writes-past-end') (target.memory as HeapMemory).bytes[endOf(target)] = 1;
      resolve();
    }
  }
}

const leaked: FileHandle[] = [];
const endOf = ({ offsetBytes, sizeBytes }: MemoryRange): number => offsetBytes + sizeBytes;

function bytesOf({ memory, offsetBytes, sizeBytes }: MemoryRange): Uint8Array {
  return (memory as HeapMemory).view(offsetBytes, sizeBytes);
}

function checkRange(range: MemoryRange): void {
  if (range.offsetBytes < 0 || endOf(range) > range.memory.sizeBytes) throw new RangeError('Outside of the memory');
}

/** Closes the files that the mutation `leaks-files` has opened. */
export async function closeLeaked(): Promise<void> {
  await Promise.all(leaked.splice(0).map((file) => file.close()));
}
