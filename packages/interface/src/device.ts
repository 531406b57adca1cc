import type { FileMemory, HostMemory, Memory, MemoryRange, SharedMemory } from './memory.ts';

/** Version of the contracts in this package that a component implements; checked when components are composed. */
export type SpecVersion = 1;

/** One copy between two ranges of equal size, in any direction between host and device. */
export interface Copy {
  readonly from: MemoryRange;
  readonly to: MemoryRange;
}

/** An ordered queue of copies. Copies on different streams overlap. */
export interface Stream {
  readonly name: string;
  /**
   * Submits copies in order. The promise resolves when all of them are done. The call never blocks the JS thread. The
   * device keeps the memory alive until then, even if the caller closes it in the meantime.
   *
   * @throws `CE_DEVICE_FAILED` with the driver's status and text.
   */
  copy(copies: readonly Copy[]): Promise<void>;
  /** Waits for the stream's copies, then closes the stream. Idempotent. */
  close(): Promise<void>;
}

/** Current free and total bytes of the device's memory. */
export interface MemoryInfo {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/**
 * The kind of a device: `cuda` for a GPU behind the CUDA driver, `host` for a host that stands in for a GPU, or the
 * name of another kind. Messages contain it; decisions about a device depend on its `supports`.
 */
export type DeviceKind = 'cuda' | 'host' | (string & {});

/** The features of a device. */
export interface DeviceSupports {
  /**
   * The device's memory is host memory: `allocate`, `allocateShared` and `openShared` return a {@link HostMemory}.
   * Weights need no copy from host memory to such a device, and its memory does not compete with that of an inference
   * engine.
   */
  readonly hostAddressable: boolean;
  /** Whether copies from host memory reach full speed only if it is pinned. */
  readonly pinning: boolean;
}

/** Options of {@link Device.allocateHost}. */
export interface AllocateHostOptions {
  /** Whether other processes of this user can open the memory with `Device.openShared`. @default false */
  readonly shared?: boolean | undefined;
}

/**
 * Memory and copies of one GPU, or of a host that stands in for one.
 *
 * Only one process uses a device object. {@link Device.close} releases everything that the device created, in the right
 * order.
 */
export interface Device {
  readonly specVersion: SpecVersion;
  readonly kind: DeviceKind;
  /** `GPU-<uuid>` in the format of nvidia-smi, or `HOST-<...>-<index>`. */
  readonly uuid: string;
  readonly name: string;
  readonly index: number;
  readonly supports: DeviceSupports;
  /** Returns the total and the currently free memory of the device. */
  memoryInfo(): MemoryInfo;
  /**
   * Allocates device memory that other processes can open: a separate allocation, never part of a larger one.
   *
   * @throws `CE_DEVICE_OUT_OF_MEMORY` or `CE_SHM_TOO_SMALL`, with the free and the requested bytes.
   */
  allocateShared(sizeBytes: number): Promise<SharedMemory>;
  /**
   * Opens memory that another process shares. A process cannot open its own CUDA memory. On the host, the opened memory
   * has the same handle, so it is a {@link SharedMemory} as well.
   */
  openShared(handle: Uint8Array, sizeBytes: number): Promise<Memory>;
  /** Allocates device memory for this process alone. */
  allocate(sizeBytes: number): Promise<Memory>;
  /**
   * Allocates host memory for weights. Reserves it immediately; the system adds pages as it is filled.
   *
   * @throws `CE_HOST_OUT_OF_MEMORY`
   */
  allocateHost(sizeBytes: number, options?: AllocateHostOptions): Promise<HostMemory>;
  /**
   * Maps an existing file as host memory, in place (for files on `/dev/shm`: no second copy of the bytes). The caller
   * may unlink the file once the promise has resolved. A copy from a file that has become shorter rejects with
   * `CE_FILE_CHANGED`; the caller must detect other changes with {@link FileMemory.fileState}.
   */
  mapFile(path: string): Promise<FileMemory>;
  /** Creates a stream of copies. `name` appears in errors and logs. */
  createStream(name: string): Stream;
  /** Waits for submitted copies, then releases everything. Idempotent. */
  close(): Promise<void>;
  /** Same as `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}
