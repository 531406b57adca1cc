import type { Device, SpecVersion } from './device.ts';
import type { MemoryKind, MemoryRange } from './memory.ts';

/** What a P2P transport can do. */
export interface P2PSupports {
  /** Kinds of memory that peers can read from here. */
  readonly registers: readonly MemoryKind[];
  /** Kinds of memory that reads can land in. */
  readonly readsInto: readonly MemoryKind[];
}

/** A registered range as peers see it. Plain data: it travels in metas. */
export interface RemoteMemory {
  /** Address in the owner's process, decimal. */
  readonly address: string;
  readonly sizeBytes: number;
  /** What the transport needs besides (a segment's name, a key); opaque to everybody else. */
  readonly key: string;
}

/** A range that peers can read while it is registered. */
export interface Registration {
  readonly remote: RemoteMemory;
  /** Takes the range back: later reads of it fail at the reader. Idempotent. */
  close(): Promise<void>;
}

/** One one-sided read. */
export interface P2PRead {
  readonly remote: RemoteMemory;
  /** From the start of `remote`. */
  readonly remoteOffsetBytes: number;
  /** Where the bytes go; its size is the size of the read. */
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
   * What peers pass to {@link P2PEndpoint.read}; the same for as long as the endpoint is open. Asked of those that share
   * something: what serves peers is started by the first call of this or of {@link P2PEndpoint.register}, and an endpoint
   * that only reads needs none of it.
   */
  address(): Promise<string>;
  /** Lets peers read a range. The memory must outlive the registration. */
  register(range: MemoryRange): Promise<Registration>;
  /**
   * Reads remote ranges into local ones without the owner's doing. All or nothing: on an error the local ranges hold
   * undefined bytes.
   *
   * @throws `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_RANGE_NOT_REGISTERED`, `CE_TIMEOUT`.
   * @throws {RangeError} A read lies outside its remote range; checked here, before anything is sent.
   */
  read(peer: string, reads: readonly P2PRead[], options?: P2PReadOptions): Promise<void>;
  /** Takes every range back and lets go of peers; what is pending rejects. Idempotent. */
  close(): Promise<void>;
}

/** Options of {@link P2PTransport.open}. */
export interface OpenOptions {
  readonly device: Device;
  readonly signal?: AbortSignal | undefined;
}

/** One-sided reads out of the memory of other processes. */
export interface P2PTransport {
  readonly specVersion: SpecVersion;
  readonly name: string;
  readonly supports: P2PSupports;
  /** Opens an endpoint for ranges of this device; the process may have several. */
  open(options: OpenOptions): Promise<P2PEndpoint>;
  /** Closes its endpoints. Idempotent. */
  close(): Promise<void>;
}
