import {
  type AllocateHostOptions,
  CheckpointEngineError,
  type Device,
  type DeviceSupports,
  type FileMemory,
  type HostMemory,
  type MemoryInfo,
  type SharedMemory,
  type Stream,
} from '@checkpoint-engine/interface';
import { awaitNative, callNative } from '@checkpoint-engine/native-kit';
import { DeviceFileMemory, DeviceHostMemory, DeviceMemory, type MemoryOwner } from './device-memory.ts';
import { DeviceStream } from './device-stream.ts';
import { addon, type MadeDevice, type NativeDevice, type NativeMemory } from './native.ts';

/** Properties of a kind of device. */
export interface DeviceTraits {
  readonly kind: Device['kind'];
  readonly index: number;
  readonly supports: DeviceSupports;
}

/**
 * A device of the addon, of either kind. It tracks everything that it creates, so that closing it leaves nothing
 * behind.
 */
export class NativeBackedDevice implements Device, MemoryOwner {
  readonly specVersion = 1;
  readonly kind: Device['kind'];
  readonly uuid: string;
  readonly name: string;
  readonly index: number;
  readonly supports: DeviceSupports;
  readonly native: NativeDevice;
  readonly #memories = new Set<DeviceMemory>();
  readonly #streams = new Set<DeviceStream>();
  readonly #pending = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(made: MadeDevice, traits: DeviceTraits) {
    this.native = made.native;
    this.uuid = made.uuid;
    this.name = made.name;
    this.kind = traits.kind;
    this.index = traits.index;
    this.supports = traits.supports;
  }

  memoryInfo(): MemoryInfo {
    return callNative(() => addon().memoryInfo(this.native));
  }

  async allocateShared(sizeBytes: number): Promise<DeviceMemory & SharedMemory> {
    checkSize(sizeBytes);
    return (await this.#take(() => addon().allocateShared(this.native, sizeBytes))) as DeviceMemory & SharedMemory;
  }

  async openShared(handle: Uint8Array, sizeBytes: number): Promise<DeviceMemory> {
    checkSize(sizeBytes);
    return this.#take(() => addon().openShared(this.native, handle, sizeBytes));
  }

  async allocate(sizeBytes: number): Promise<DeviceMemory> {
    checkSize(sizeBytes);
    return this.#take(() => addon().allocate(this.native, sizeBytes));
  }

  async allocateHost(sizeBytes: number, options: AllocateHostOptions = {}): Promise<HostMemory> {
    checkSize(sizeBytes);
    const shared = options.shared ?? false;
    return (await this.#take(() => addon().allocateHost(this.native, sizeBytes, shared))) as DeviceHostMemory;
  }

  async mapFile(path: string): Promise<FileMemory> {
    return (await this.#take(() => addon().mapFile(this.native, path), DeviceFileMemory)) as DeviceFileMemory;
  }

  createStream(name: string): Stream {
    this.#refuseWhenClosing();
    const stream = callNative(() => new DeviceStream(this, name));
    this.#streams.add(stream);
    return stream;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  track<T>(promise: Promise<T>): Promise<T> {
    this.#pending.add(promise);
    const forget = (): void => {
      this.#pending.delete(promise);
    };
    promise.then(forget, forget);
    return promise;
  }

  forget(memory: DeviceMemory): void {
    this.#memories.delete(memory);
  }

  /** @param Kind Class of the memory in JavaScript. @default by its location */
  async #take(
    make: () => Promise<NativeMemory>,
    Kind?: new (owner: MemoryOwner, native: NativeMemory) => DeviceMemory,
  ): Promise<DeviceMemory> {
    this.#refuseWhenClosing();
    const native = await this.track(awaitNative(make));
    const Made = Kind ?? (addon().memoryIsHost(native) ? DeviceHostMemory : DeviceMemory);
    const memory = new Made(this, native);
    if (this.#closing) {
      memory.close();
      this.#refuseWhenClosing();
    }
    this.#memories.add(memory);
    return memory;
  }

  async #close(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    for (const stream of this.#streams) await stream.close();
    for (const memory of this.#memories) memory.close();
    await awaitNative(() => addon().closeDevice(this.native));
  }

  #refuseWhenClosing(): void {
    if (this.#closing === undefined) return;
    throw new CheckpointEngineError(
      'CE_CLOSED',
      `The device ${this.uuid} is closed`,
      'Use it before close() is called',
    );
  }
}

function checkSize(sizeBytes: number): void {
  if (typeof sizeBytes !== 'number') throw new TypeError('sizeBytes must be a number');
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
    throw new RangeError(`sizeBytes must be a whole number of bytes above 0: ${sizeBytes}`);
  }
}
