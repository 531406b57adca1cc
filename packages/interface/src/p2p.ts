import type { Device, SpecVersion } from './device.ts';
import type { MemoryKind, MemoryRange } from './memory.ts';

/** The features of a P2P transport. */
export interface P2PSupports {
  /** Kinds of memory that an endpoint can register for peers. */
  readonly registers: readonly MemoryKind[];
  /** Kinds of memory that reads can write to. */
  readonly readsInto: readonly MemoryKind[];
}

/** A registered range as its peers see it. Plain data: it travels in metas. */
export interface RemoteMemory {
  /** Address in the owner's process, decimal. */
  readonly address: string;
  readonly sizeBytes: number;
  /** Additional data of the transport (a segment's name, a key); opaque to all other code. */
  readonly key: string;
}

/** A range that peers can read until it is closed. */
export interface Registration {
  readonly remote: RemoteMemory;
  /** Withdraws the range: later reads of it fail at the reader. Idempotent. */
  close(): Promise<void>;
}

/** One one-sided read. */
export interface P2PRead {
  readonly remote: RemoteMemory;
  /** Bytes from the start of `remote`. */
  readonly remoteOffsetBytes: number;
  /** Destination of the bytes; its size is the size of the read. */
  readonly local: MemoryRange;
}

/** Options of {@link P2PEndpoint.read}. */
export interface P2PReadOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** This process's end of a P2P transport. */
export interface P2PEndpoint {
  /**
   * The address that peers pass to {@link P2PEndpoint.read}; it stays the same while the endpoint is open. Only
   * endpoints that share memory need one: the first call of this method or of {@link P2PEndpoint.register} starts the
   * service for peers, which an endpoint that only reads does not need.
   */
  address(): Promise<string>;
  /** Lets peers read a range. The memory must outlive the registration. */
  register(range: MemoryRange): Promise<Registration>;
  /**
   * Reads remote ranges into local ones without involving the owner. All or nothing: after an error the local ranges
   * hold undefined bytes.
   *
   * @throws `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_RANGE_NOT_REGISTERED`, `CE_TIMEOUT`.
   * @throws {RangeError} A read is outside of its remote range; the endpoint checks this before it sends anything.
   */
  read(peer: string, reads: readonly P2PRead[], options?: P2PReadOptions): Promise<void>;
  /** Withdraws every range and disconnects from peers; pending calls reject. Idempotent. */
  close(): Promise<void>;
}

/** Options of {@link P2PTransport.open}. */
export interface OpenOptions {
  readonly device: Device;
  readonly signal?: AbortSignal | undefined;
}

/** One-sided reads from the memory of other processes. */
export interface P2PTransport {
  readonly specVersion: SpecVersion;
  readonly name: string;
  readonly supports: P2PSupports;
  /** Opens an endpoint for ranges of this device; the process may have several. */
  open(options: OpenOptions): Promise<P2PEndpoint>;
  /** Closes its endpoints. Idempotent. */
  close(): Promise<void>;
}
