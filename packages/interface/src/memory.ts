/** Where bytes live: in the host's memory, or in a device's. */
export type MemoryKind = 'host' | 'device';

/**
 * A piece of memory that this process can address. JavaScript holds the description, native code the pointer: memory
 * can be far larger than any typed array.
 */
export interface Memory {
  /** Memory of kind `host` is a {@link HostMemory}; {@link isHostMemory} narrows it. */
  readonly kind: MemoryKind;
  /** Address in this process (host pointer or device pointer). 0 once closed. */
  readonly address: bigint;
  readonly sizeBytes: number;
  /** Gives the memory back once no copy that was already submitted needs it. Idempotent. */
  close(): void;
  /** As `close`. */
  [Symbol.dispose](): void;
}

/** Whether a memory is host memory, which JavaScript can view, read into and write: every memory of kind `host` is. */
export function isHostMemory(memory: Memory): memory is HostMemory {
  return memory.kind === 'host';
}

/** Whether another process can open a memory by its handle. */
export function isSharedMemory(memory: Memory): memory is SharedMemory {
  return (memory as Partial<SharedMemory>).handle instanceof Uint8Array;
}

/** A byte range of a memory. */
export interface MemoryRange {
  readonly memory: Memory;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Memory of a device that other processes can open by its handle. */
export interface SharedMemory extends Memory {
  /** Opaque bytes for `Device.openShared` in another process (host: segment name; CUDA: the 64-byte IPC handle). */
  readonly handle: Uint8Array;
  /**
   * As `close`, and where this process made the memory and the device can, all of it is given back even while others
   * have it open: they read zeros from then on. For memory whose users may be slow to let go.
   */
  discard?(): void;
}

/** One range of a file to be read into host memory. */
export interface FileRead {
  readonly path: string;
  readonly fileOffsetBytes: number;
  /** Where the bytes go, from the start of the memory. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** What tells one version of a file from another. */
export interface FileState {
  /** Of the file system that holds the file; with `inode` it identifies the file, whatever its name. */
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: number;
  /** When the content was written last, in nanoseconds since the epoch. A process can set it. */
  readonly modifiedNs: bigint;
  /** When the content, the names or the rights were changed last. No process can set it. */
  readonly changedNs: bigint;
  /** How many names the file has. */
  readonly links: number;
}

/** Options of {@link HostMemory.read}. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called on the JS thread, at most every 50 ms and once at the end, with the bytes read so far. */
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

/** Page-aligned host memory that holds weights: the pool. Huge pages where the system gives them. */
export interface HostMemory extends Memory {
  readonly kind: 'host';
  /** Whether the device can copy from it at full speed (CUDA: page-locked). */
  readonly pinned: boolean;
  /**
   * Reads file ranges into this memory with several threads, off the JS thread. Ranges that lie together in a file are
   * read together. On a CUDA device what has been read is pinned while the rest is read.
   *
   * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`, `CE_FILE_TRUNCATED` naming file and offset.
   * @throws {RangeError} A range lies outside this memory.
   */
  read(reads: readonly FileRead[], options?: ReadOptions): Promise<void>;
  /**
   * Copies bytes that JavaScript holds into this memory, in slices of about a millisecond between which the event loop
   * goes on; bytes in a `SharedArrayBuffer` are copied by threads. `bytes` is not to be changed meanwhile.
   *
   * @throws `CE_CLOSED` The buffer of `bytes` was transferred, or its memory closed, or this memory was closed.
   */
  write(offsetBytes: number, bytes: Uint8Array): Promise<void>;
  /** Page-locks the whole memory for the device. Idempotent; does nothing where the device needs none. */
  pin(): Promise<void>;
  /**
   * A view of a range, without a copy; at most 2 GiB. The view becomes empty (its buffer is detached) when the memory
   * is closed.
   */
  view(offsetBytes: number, sizeBytes: number): Uint8Array;
}

/** Host memory that maps a file. */
export interface FileMemory extends HostMemory {
  /** What the file is now, also where its name is gone or belongs to another file. @throws `CE_FILE_UNREADABLE` */
  fileState(): Promise<FileState>;
}
