import type { FileState } from '@checkpoint-engine/interface';
import { loadAddon } from '@checkpoint-engine/native-kit';

declare const kind: unique symbol;
/** An opaque object of the addon. The addon distinguishes kinds by type tags. */
interface Handle<Kind extends string> {
  readonly [kind]: Kind;
}
export type NativeDevice = Handle<'device'>;
export type NativeMemory = Handle<'memory'>;
export type NativeStream = Handle<'stream'>;
export type NativeRead = Handle<'read'>;

/** A newly created device. */
export interface MadeDevice {
  readonly native: NativeDevice;
  readonly uuid: string;
  readonly name: string;
}

/** The functions of the addon. Errors are native failures, see native-kit's `fromNativeError`. */
export interface Addon {
  createHostDevice(index: number, threads: number, directory: string): Promise<MadeDevice>;
  createCudaDevice(index: number, threads: number, directory: string): Promise<MadeDevice>;
  listCudaDevices(): Promise<{
    unavailable: string;
    driverPath: string;
    driverVersion: number;
    devices: { index: number; uuid: string; name: string; totalBytes: number }[];
  }>;
  closeDevice(device: NativeDevice): Promise<void>;
  memoryInfo(device: NativeDevice): { freeBytes: number; totalBytes: number };
  allocateShared(device: NativeDevice, sizeBytes: number): Promise<NativeMemory>;
  openShared(device: NativeDevice, handle: Uint8Array, sizeBytes: number): Promise<NativeMemory>;
  allocate(device: NativeDevice, sizeBytes: number): Promise<NativeMemory>;
  allocateHost(device: NativeDevice, sizeBytes: number, shared: boolean): Promise<NativeMemory>;
  mapFile(device: NativeDevice, path: string): Promise<NativeMemory>;
  sweepShared(directory: string): Promise<string[]>;

  memoryAddress(memory: NativeMemory): bigint;
  memorySize(memory: NativeMemory): number;
  memoryIsHost(memory: NativeMemory): boolean;
  memoryHandle(memory: NativeMemory): Uint8Array | undefined;
  memoryPinned(memory: NativeMemory): boolean;
  closeMemory(memory: NativeMemory, discard?: boolean): void;
  view(memory: NativeMemory, offsetBytes: number, sizeBytes: number): ArrayBuffer;
  detach(buffer: ArrayBuffer): void;
  /** Copies the part of `bytes` at `start` before it returns; `bytes` as a whole go to `offsetBytes`. */
  writeNow(memory: NativeMemory, offsetBytes: number, bytes: Uint8Array, start: number, sizeBytes: number): void;
  /** `bytes` must be in a SharedArrayBuffer. */
  write(device: NativeDevice, memory: NativeMemory, offsetBytes: number, bytes: Uint8Array): Promise<void>;
  pin(device: NativeDevice, memory: NativeMemory): Promise<void>;
  fileState(memory: NativeMemory): Promise<FileState>;

  createStream(device: NativeDevice): NativeStream;
  closeStream(stream: NativeStream): void;
  /** Rows of `from, fromOffset, to, toOffset, size`; `from` and `to` are indices into `memories`. */
  copy(stream: NativeStream, memories: readonly NativeMemory[], rows: Float64Array): Promise<void>;

  /**
   * Rows of `file, fileOffset, offset, size`; `file` is an index into `paths`. Returns sums if there are `digestRows`.
   */
  read(
    device: NativeDevice,
    memory: NativeMemory,
    paths: readonly string[],
    rows: Float64Array,
    digestRows?: Float64Array,
    blockBytes?: number,
    sumCount?: number,
  ): { native: NativeRead; promise: Promise<BigUint64Array | undefined> };
  /** Rows of `offset, rows, rowBytes, pitch, position, positionPitch, sum`. */
  digest(
    device: NativeDevice,
    memory: NativeMemory,
    rows: Float64Array,
    blockBytes: number,
    sumCount: number,
  ): Promise<BigUint64Array>;
  readDoneBytes(read: NativeRead): number;
  cancelRead(read: NativeRead): void;
}

let loaded: Addon | undefined;

/** Returns the addon, and loads it on first use: importing this package never fails. @throws `CE_LIBRARY_NOT_FOUND` */
export function addon(): Addon {
  loaded ??= loadAddon<Addon>(new URL('../', import.meta.url), 'device');
  return loaded;
}
