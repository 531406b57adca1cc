import type { Server } from 'node:net';
import {
  CheckpointEngineError,
  type Device,
  type MemoryRange,
  type P2PEndpoint,
  type P2PRead,
  type P2PReadOptions,
  type Registration,
  type Stream,
} from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { PendingConnections } from '@checkpoint-engine/interface/wire';
import { checkRange, sharedMemoryOf } from '../memory/range-checks.ts';
import { SegmentCache } from '../memory/segment-cache.ts';
import { listenOn } from '../wire/abstract-socket.ts';
import { Connection } from '../wire/connection.ts';
import { withDeadline } from '../wire/deadline.ts';
import { awaitHello, helloTimeoutMs, maxPending } from '../wire/handshake.ts';
import { type Address, formatAddress, newAddress } from './address.ts';
import type { GrantedRange } from './frames.ts';
import { LeaseBook } from './lease-book.ts';
import { serveReader } from './owner-side.ts';
import { notRegistered, OwnerLink } from './reader-side.ts';

const defaultReadTimeoutMs = 60_000;

/** The parts of an endpoint. */
export interface EndpointParts {
  readonly device: Device;
  /** Time for which withdrawing a range waits for its readers. */
  readonly unregisterTimeoutMs: number;
  readonly onClose: (endpoint: P2PEndpoint) => void;
}

/** One process's end: its registered ranges, and its connections to owners. */
export class ShmEndpoint implements P2PEndpoint {
  readonly #address: string;
  readonly #socket: string;
  readonly #parts: EndpointParts;
  readonly #server: Server;
  readonly #pending: PendingConnections;
  readonly #readers: Set<Connection>;
  readonly #book: LeaseBook;
  readonly #segments: SegmentCache;
  readonly #stream: Stream;
  readonly #owners = new Map<string, Promise<OwnerLink>>();
  readonly #copying = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;

  private constructor(
    parts: EndpointParts,
    address: Address,
    server: Server,
    pending: PendingConnections,
    readers: Set<Connection>,
    book: LeaseBook,
  ) {
    this.#address = formatAddress(address);
    this.#socket = address.socket;
    this.#parts = parts;
    this.#server = server;
    this.#pending = pending;
    this.#readers = readers;
    this.#book = book;
    this.#segments = new SegmentCache(parts.device);
    this.#stream = parts.device.createStream('transport-shm p2p');
  }

  /** Opens an endpoint, which starts to listen. */
  static async open(parts: EndpointParts): Promise<ShmEndpoint> {
    const address = newAddress();
    const book = new LeaseBook(parts.unregisterTimeoutMs);
    const readers = new Set<Connection>();
    const pending = new PendingConnections({ maxCount: maxPending, timeoutMs: helloTimeoutMs });
    const server = await listenOn(address.socket, async (socket) => {
      const candidate = pending.admit(socket);
      const connection = new Connection(
        socket,
        () => candidate.refuse('it does not use the protocol'),
        () => candidate.throttle(),
      );
      const from = await awaitHello(connection, candidate, address.socket, address.secret);
      if (from === undefined) return;
      readers.add(connection);
      void connection.closed.then(() => readers.delete(connection));
      serveReader(connection, book);
    });
    return new ShmEndpoint(parts, address, server, pending, readers, book);
  }

  async address(): Promise<string> {
    this.#refuseWhenClosed('address');
    return this.#address;
  }

  async register(range: MemoryRange): Promise<Registration> {
    this.#refuseWhenClosed('register');
    checkRange(range, 'The registered range');
    sharedMemoryOf(range, 'The registered range');
    const key = this.#book.add(range);
    const address = (range.memory.address + BigInt(range.offsetBytes)).toString();
    let removed: Promise<void> | undefined;
    return {
      remote: { address, sizeBytes: range.sizeBytes, key },
      close: () => {
        removed ??= this.#book.remove(key);
        return removed;
      },
    };
  }

  async read(peer: string, reads: readonly P2PRead[], options: P2PReadOptions = {}): Promise<void> {
    this.#refuseWhenClosed('read');
    for (const read of reads) checkRead(read);
    const limits = {
      what: `Reading ${reads.length} ranges`,
      timeoutMs: options.timeoutMs ?? defaultReadTimeoutMs,
      signals: [this.#closed.signal, options.signal],
    };
    await withDeadline(limits, async (signal) => {
      if (reads.length === 0) return;
      const owner = await this.#owner(peer, signal);
      const keys = [...new Set(reads.map(({ remote }) => remote.key))];
      const askedAt = performance.now();
      const { id, ranges, leaseMs } = await owner.lease(keys, signal);
      const granted = new Map(keys.map((key, i) => [key, ranges[i]!]));
      // The copy continues after the read was aborted; the lease lasts until the copy ends.
      const copied = this.#copy(peer, reads, granted).finally(() => owner.release(id));
      this.#copying.add(copied);
      copied.catch(() => {}).finally(() => this.#copying.delete(copied));
      await untilAborted(Promise.race([copied, owner.lost]), signal);
      // The owner may have revoked a lease that lasted too long, and overwritten the bytes during the copy.
      if (performance.now() - askedAt >= leaseMs) owner.release((await owner.lease(keys, signal)).id);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed.abort(closedError('read'));
    this.#server.close();
    this.#pending.close();
    await this.#book.removeAll();
    await Promise.allSettled(this.#copying);
    const owners = await Promise.allSettled(this.#owners.values());
    await Promise.all(owners.map((owner) => (owner.status === 'fulfilled' ? owner.value.close() : undefined)));
    await Promise.all([...this.#readers].map((reader) => reader.end({ type: 'closed' })));
    this.#segments.close();
    await this.#stream.close();
    this.#parts.onClose(this);
  }

  /** Returns the connection to an owner, and creates it when it is first needed or was lost. */
  async #owner(peer: string, signal: AbortSignal): Promise<OwnerLink> {
    const known = this.#owners.get(peer);
    if (known !== undefined) return await untilAborted(known, signal);
    const connecting = OwnerLink.connect(peer, this.#socket, this.#closed.signal);
    this.#owners.set(peer, connecting);
    connecting.then((link) => link.lost).catch(() => this.#owners.delete(peer));
    return await untilAborted(connecting, signal);
  }

  async #copy(peer: string, reads: readonly P2PRead[], granted: ReadonlyMap<string, GrantedRange>): Promise<void> {
    const ranges = reads.map(({ remote }) => granted.get(remote.key)!);
    const stale = reads.find(({ remote }, i) => remote.sizeBytes !== ranges[i]!.sizeBytes);
    if (stale) throw notRegistered(peer, stale.remote.key);
    await this.#segments.use(ranges, async (memories) => {
      const copies = reads.map(({ remoteOffsetBytes, local }, i) => {
        const offsetBytes = ranges[i]!.offsetBytes + remoteOffsetBytes;
        return { from: { memory: memories[i]!, offsetBytes, sizeBytes: local.sizeBytes }, to: local };
      });
      await this.#stream.copy(copies.filter(({ to }) => to.sizeBytes > 0));
    });
  }

  #refuseWhenClosed(op: string): void {
    if (this.#closing !== undefined) throw closedError(op);
  }
}

function checkRead({ remote, remoteOffsetBytes, local }: P2PRead): void {
  checkRange(local, 'The local range');
  const end = remoteOffsetBytes + local.sizeBytes;
  if (Number.isSafeInteger(remoteOffsetBytes) && remoteOffsetBytes >= 0 && end <= remote.sizeBytes) return;
  throw new RangeError(`A read of bytes ${remoteOffsetBytes} to ${end} of a remote range of ${remote.sizeBytes}`);
}

function closedError(op: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CLOSED', `The endpoint is closed: ${op}`, 'Open another one', { op });
}
