import type { FileMemory, HostMemory, Memory, MemoryRange, SharedMemory } from './memory.ts';

/** Version of the contracts in this package that a component was written for; checked when components are composed. */
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
   * Submits copies in order and resolves when all of them are done. Never blocks the JS thread. The memory is kept
   * alive until then, also when it is closed meanwhile.
   *
   * @throws `CE_DEVICE_FAILED` with the driver's status and text.
   */
  copy(copies: readonly Copy[]): Promise<void>;
  /** Waits for its copies, then ends it. Idempotent. */
  close(): Promise<void>;
}

/** Free and total bytes of the device's memory, now. */
export interface MemoryInfo {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/**
 * The kind of a device: `cuda` for a GPU behind the CUDA driver, `host` for the host standing in for a GPU, or the name
 * of another kind. It names the device in messages; what to do with a device follows from its `supports`.
 */
export type DeviceKind = 'cuda' | 'host' | (string & {});

/** What a device can do. */
export interface DeviceSupports {
  /**
   * The device's memory is host memory: `allocate`, `allocateShared` and `openShared` give a {@link HostMemory}. Weights
   * need no copy from host memory to such a device, and its memory does not compete with an inference engine's.
   */
  readonly hostAddressable: boolean;
  /** Copies from host memory need it pinned to reach full speed. */
  readonly pinning: boolean;
}

/** Options of {@link Device.allocateHost}. */
export interface AllocateHostOptions {
  /** Other processes of this user can open it with `Device.openShared`. @default false */
  readonly shared?: boolean | undefined;
}

/**
 * Memory and copies of one GPU, or of the host standing in for one.
 *
 * A device is used from one process. Everything it gave out is released by {@link Device.close}, in the right order.
 */
export interface Device {
  readonly specVersion: SpecVersion;
  readonly kind: DeviceKind;
  /** `GPU-<uuid>` as nvidia-smi prints it, or `HOST-<...>-<index>`. */
  readonly uuid: string;
  readonly name: string;
  readonly index: number;
  readonly supports: DeviceSupports;
  /** How much memory the device has, and how much of it is free right now. */
  memoryInfo(): MemoryInfo;
  /**
   * Device memory that other processes can open: an allocation of its own, never part of a larger one.
   *
   * @throws `CE_DEVICE_OUT_OF_MEMORY` or `CE_SHM_TOO_SMALL`, with free and wanted bytes.
   */
  allocateShared(sizeBytes: number): Promise<SharedMemory>;
  /**
   * Opens memory that another process shares. A process cannot open its own CUDA memory. On the host what was opened has
   * the same handle, and so is a {@link SharedMemory} too.
   */
  openShared(handle: Uint8Array, sizeBytes: number): Promise<Memory>;
  /** Device memory for this process alone. */
  allocate(sizeBytes: number): Promise<Memory>;
  /** Host memory for weights. Reserved at once, backed by pages as it is filled. @throws `CE_HOST_OUT_OF_MEMORY` */
  allocateHost(sizeBytes: number, options?: AllocateHostOptions): Promise<HostMemory>;
  /**
   * Maps an existing file as host memory, in place (for files on `/dev/shm`: no second copy of the bytes). The file may
   * be unlinked once this has resolved. A copy out of a file that has become shorter rejects with `CE_FILE_CHANGED`;
   * other changes are the caller's to look for, with {@link FileMemory.fileState}.
   */
  mapFile(path: string): Promise<FileMemory>;
  /** A new stream of copies. `name` stands in errors and logs. */
  createStream(name: string): Stream;
  /** Waits for submitted copies, then releases everything. Idempotent. */
  close(): Promise<void>;
  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}
