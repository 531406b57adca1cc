import {
  CheckpointEngineError,
  type MemoryRange,
  type P2PEndpoint,
  type P2PRead,
  type P2PReadOptions,
  type P2PTransport,
  type Registration,
} from '@checkpoint-engine/interface';
import type { HeapMemory } from './heap-device.ts';

/** Faults of {@link HeapP2P}. */
export type P2PMutation =
  | 'ignores-offset'
  | 'drops-last-byte'
  | 'writes-past-end'
  | 'reads-after-unregister'
  | 'unregisters-overlaps'
  | 'checks-no-ranges'
  | 'hangs-on-loss'
  | 'hangs-when-unreachable'
  | 'blocks-owner'
  | 'ignores-signal'
  | 'leaks-memory'
  | 'registers-after-close'
  | 'changes-address';

/** The endpoints of this process; one that was killed is `lost`. */
const endpoints = new Map<string, HeapEndpoint>();
let nextEndpoint = 0;

/** Notifies readers that an owner is gone, unless the mutation prevents it. */
export function killHeapPeer(worldName: string, rank: number): void {
  for (const [address, endpoint] of endpoints) {
    if (!address.startsWith(`${worldName}/${rank}/`)) continue;
    endpoint.lost = true;
    endpoints.delete(address);
  }
}

/** A P2P transport within one process: the smallest one that passes the suite, unless it is mutated. */
export class HeapP2P implements P2PTransport {
  readonly specVersion = 1;
  readonly name = 'heap';
  readonly supports = { registers: ['host'], readsInto: ['host'] } as const;
  readonly #prefix: string;
  readonly #mutation: P2PMutation | undefined;
  readonly #opened: HeapEndpoint[] = [];
  #closed = false;

  constructor(worldName: string, rank: number, mutation?: P2PMutation) {
    this.#prefix = `${worldName}/${rank}`;
    this.#mutation = mutation;
  }

  async open(): Promise<HeapEndpoint> {
    if (this.#closed) throw new CheckpointEngineError('CE_CLOSED', 'The transport is closed', 'Create a new one');
    const endpoint = new HeapEndpoint(`${this.#prefix}/${nextEndpoint++}`, this.#mutation);
    endpoints.set(endpoint.name, endpoint);
    this.#opened.push(endpoint);
    return endpoint;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const endpoint of this.#opened) await endpoint.close();
  }
}

class HeapEndpoint implements P2PEndpoint {
  readonly name: string;
  readonly ranges = new Map<string, MemoryRange>();
  lost = false;
  readonly #mutation: P2PMutation | undefined;
  #closed = false;
  #nextKey = 0;
  #blocked = false;

  constructor(name: string, mutation: P2PMutation | undefined) {
    this.name = name;
    this.#mutation = mutation;
  }

  async address(): Promise<string> {
    this.#check();
    if (this.#mutation === 'changes-address' && this.ranges.size > 0) return `${this.name}/again`;
    return this.name;
  }

  async register(range: MemoryRange): Promise<Registration> {
    if (this.#mutation !== 'registers-after-close') this.#check();
    checkRange(range);
    const key = `${this.name}#${this.#nextKey++}`;
    this.ranges.set(key, range);
    const address = String(range.memory.address + BigInt(range.offsetBytes));
    return {
      remote: { address, sizeBytes: range.sizeBytes, key },
      close: async () => {
        if (this.#mutation === 'reads-after-unregister') return;
        if (this.#mutation === 'leaks-memory') leaked.push(new Uint8Array(16_384).fill(1));
        this.ranges.delete(key);
        if (this.#mutation !== 'unregisters-overlaps') return;
        for (const [other, { memory }] of this.ranges) if (memory === range.memory) this.ranges.delete(other);
      },
    };
  }

  async read(peer: string, reads: readonly P2PRead[], { signal }: P2PReadOptions = {}): Promise<void> {
    this.#check();
    if (this.lost) throw new CheckpointEngineError('CE_CLOSED', 'This member was killed', 'Start another one');
    for (const { remote, remoteOffsetBytes, local } of reads) {
      if (this.#mutation === 'checks-no-ranges') break;
      checkRange(local);
      const end = remoteOffsetBytes + local.sizeBytes;
      if (remoteOffsetBytes < 0 || end > remote.sizeBytes) throw new RangeError('Outside of the remote range');
    }
    if (signal?.aborted && this.#mutation !== 'ignores-signal') {
      throw new CheckpointEngineError('CE_ABORTED', 'The read was aborted', 'Read again');
    }
    const owner = endpoints.get(peer);
    if (owner === undefined) return await this.#unreachable();
    this.#block(reads);
    await new Promise((resolve) => setImmediate(resolve));
    if (owner.lost && this.#mutation === 'hangs-on-loss') await new Promise(() => {});
    if (owner.lost) throw new CheckpointEngineError('CE_PEER_LOST', 'The owner was lost', 'Read from another one');
    const sources = reads.map(({ remote }) => owner.ranges.get(remote.key));
    if (sources.includes(undefined)) {
      throw new CheckpointEngineError('CE_RANGE_NOT_REGISTERED', 'The range is not registered', 'Register it');
    }
    for (const [i, { remoteOffsetBytes, local }] of reads.entries()) this.#copy(sources[i]!, remoteOffsetBytes, local);
  }

  async close(): Promise<void> {
    this.#closed = true;
    endpoints.delete(this.name);
  }

  #copy(source: MemoryRange, remoteOffsetBytes: number, local: MemoryRange): void {
    const offset = this.#mutation === 'ignores-offset' ? 0 : remoteOffsetBytes;
    const bytes = (source.memory as HeapMemory).view(source.offsetBytes + offset, local.sizeBytes);
    const into = (local.memory as HeapMemory).bytes;
    const drop = this.#mutation === 'drops-last-byte' && bytes.length > 0 ? 1 : 0;
    into.set(bytes.subarray(0, bytes.length - drop), local.offsetBytes);
    if (this.#mutation === 'writes-past-end') into[local.offsetBytes + local.sizeBytes] = 1;
  }

  /**
   * All members share one event loop, so a busy reader simulates a busy owner. Reads of a megabyte do not block: all
   * members read that much at once, and together they would block for longer than the patience of the suite.
   */
  #block(reads: readonly P2PRead[]): void {
    if (this.#mutation !== 'blocks-owner' || this.#blocked) return;
    this.#blocked = reads.some(({ local }) => local.sizeBytes > 200_000 && local.sizeBytes < 1_000_000);
    if (this.#blocked) for (const end = Date.now() + 1200; Date.now() < end; );
  }

  #check(): void {
    if (this.#closed) throw new CheckpointEngineError('CE_CLOSED', 'The endpoint is closed', 'Open another one');
  }

  async #unreachable(): Promise<void> {
    if (this.#mutation === 'hangs-when-unreachable') await new Promise(() => {});
    throw new CheckpointEngineError('CE_PEER_UNREACHABLE', 'There is no such peer', 'Check its address');
  }
}

const leaked: Uint8Array[] = [];

function checkRange({ memory, offsetBytes, sizeBytes }: MemoryRange): void {
  if (offsetBytes < 0 || offsetBytes + sizeBytes > memory.sizeBytes) throw new RangeError('Outside of the memory');
}

/** Releases the memory that the mutation `leaks-memory` has allocated. */
export function dropLeaked(): void {
  leaked.length = 0;
}
