/** Location of bytes: in the host's memory, or in a device's. */
export type MemoryKind = 'host' | 'device';

/**
 * Memory that this process can address. JavaScript holds the description and native code holds the pointer, so memory
 * can be far larger than any typed array.
 */
export interface Memory {
  /** Memory of kind `host` is a {@link HostMemory}; {@link isHostMemory} narrows it. */
  readonly kind: MemoryKind;
  /** Address in this process (host pointer or device pointer). 0 after `close`. */
  readonly address: bigint;
  readonly sizeBytes: number;
  /** Frees the memory as soon as no submitted copy needs it. Idempotent. */
  close(): void;
  /** Same as `close`. */
  [Symbol.dispose](): void;
}

/** Checks whether a memory is host memory, which JavaScript can view, read into and write. */
export function isHostMemory(memory: Memory): memory is HostMemory {
  return memory.kind === 'host';
}

/** Checks whether another process can open a memory by its handle. */
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
   * Closes the memory like `close`. If this process created the memory and the device supports it, all of it is freed
   * even while other processes have it open: they read zeros from then on. Use it for memory whose users may be slow to
   * release it.
   */
  discard?(): void;
}

/** One range of a file to read into host memory. */
export interface FileRead {
  readonly path: string;
  readonly fileOffsetBytes: number;
  /** Destination of the bytes, from the start of the memory. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Identifies a version of a file. */
export interface FileState {
  /** The file system that holds the file; with `inode` it identifies the file, regardless of its name. */
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: number;
  /** Time when the content was last written, in nanoseconds since the epoch. A process can set it. */
  readonly modifiedNs: bigint;
  /** Time when the content, the names or the permissions last changed. A process cannot set it. */
  readonly changedNs: bigint;
  /** Number of names of the file. */
  readonly links: number;
}

/** Rows of bytes of one tensor that are in a memory. */
export interface DigestRange {
  /** First row, from the start of the memory. */
  readonly offsetBytes: number;
  /** Bytes of one row. */
  readonly sizeBytes: number;
  /** @default 1 */
  readonly rows?: number | undefined;
  /** From the start of a row to the start of the next one in memory. @default `sizeBytes` */
  readonly pitchBytes?: number | undefined;
  /** First row, from the start of the tensor. */
  readonly positionBytes: number;
  /** From the start of a row to the start of the next one in the tensor. @default `sizeBytes` */
  readonly positionPitchBytes?: number | undefined;
  /** Index of the sum to which the digest of the range's first block is added. */
  readonly sum: number;
}

/** The ranges to digest, see `digestBytes`. */
export interface DigestRequest {
  readonly ranges: readonly DigestRange[];
  /**
   * Bytes of a tensor that share one sum; blocks begin at multiples of it. The range's first block is added to the sum
   * at `range.sum`, the next one to the sum after it. 0: each range adds to one sum.
   */
  readonly blockBytes: number;
  /** Number of sums. */
  readonly sumCount: number;
}

/** Options of {@link HostMemory.read}. */
export interface ReadOptions {
  /**
   * Digests what is read, while the bytes are in the processor's cache, and adds the sums to `sums` when the read has
   * succeeded. The ranges have one row each and do not overlap; bytes outside of them are not digested. Only for memory
   * that has {@link HostMemory.digest}.
   */
  readonly digest?: (DigestRequest & { readonly sums: BigUint64Array }) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The device calls it on the JS thread, at most every 50 ms and once at the end, with the bytes read so far. */
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

/** Page-aligned host memory that holds weights: the pool. It uses huge pages if the system provides them. */
export interface HostMemory extends Memory {
  readonly kind: 'host';
  /** Whether the device can copy from the memory at full speed (CUDA: page-locked). */
  readonly pinned: boolean;
  /**
   * Reads file ranges into this memory with several threads, off the JS thread. Ranges that are contiguous in a file
   * are read together. For a CUDA device, each part is pinned after it was read, while other parts are still being
   * read.
   *
   * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`, `CE_FILE_TRUNCATED` naming file and offset.
   * @throws {RangeError} A range is outside of this memory.
   */
  read(reads: readonly FileRead[], options?: ReadOptions): Promise<void>;
  /**
   * Copies bytes from JavaScript into this memory, in slices of about a millisecond between which the event loop
   * continues; threads copy bytes in a `SharedArrayBuffer`. The caller must not change `bytes` meanwhile.
   *
   * @throws `CE_CLOSED` The buffer of `bytes` was transferred, or its memory closed, or this memory was closed.
   */
  write(offsetBytes: number, bytes: Uint8Array): Promise<void>;
  /**
   * Digests bytes of this memory with several threads, off the JS thread. The result has `sumCount` sums. Absent for
   * devices that cannot; `view` and `digestBytes` give the same digests.
   *
   * @throws {RangeError} A range is outside of this memory, or names a sum that does not exist.
   */
  digest?(request: DigestRequest): Promise<BigUint64Array>;
  /** Page-locks the whole memory for the device. Idempotent; does nothing if the device does not need it. */
  pin(): Promise<void>;
  /**
   * Returns a view of a range, without a copy; at most 2 GiB. Closing the memory detaches the view's buffer, so the
   * view becomes empty.
   */
  view(offsetBytes: number, sizeBytes: number): Uint8Array;
}

/** Host memory that maps a file. */
export interface FileMemory extends HostMemory {
  /**
   * Returns the current state of the file, even if its name is gone or belongs to another file.
   *
   * @throws `CE_FILE_UNREADABLE`
   */
  fileState(): Promise<FileState>;
}
