import type { AllocateHostOptions, Device, HostMemory, SharedMemory } from '@checkpoint-engine/interface';
import { awaitNative } from '@checkpoint-engine/native-kit';
import { defaultSharedDirectory, defaultThreads } from './defaults.ts';
import { addon } from './native.ts';
import { NativeBackedDevice } from './native-backed-device.ts';

/** Options of {@link createHostDevice}. */
export interface HostDeviceOptions {
  /** Tells several devices of a host apart: the end of their `uuid`. @default 0 */
  readonly index?: number | undefined;
  /** Where shared memory lives: a tmpfs that all processes see under the same name. @default '/dev/shm' */
  readonly directory?: string | undefined;
  /** Threads that copy, and as many that read files. @default the CPUs this process may use, at most 16 */
  readonly threads?: number | undefined;
}

/** Shared memory of the host: its processes can also view it. */
export interface SharedHostMemory extends HostMemory, SharedMemory {
  readonly kind: 'host';
}

/** The host standing in for a GPU. All of its memory is host memory and can be viewed. */
export interface HostDevice extends Device {
  readonly kind: 'host';
  allocateShared(sizeBytes: number): Promise<SharedHostMemory>;
  openShared(handle: Uint8Array, sizeBytes: number): Promise<HostMemory>;
  allocate(sizeBytes: number): Promise<HostMemory>;
  allocateHost(sizeBytes: number, options: AllocateHostOptions & { readonly shared: true }): Promise<SharedHostMemory>;
  allocateHost(sizeBytes: number, options?: AllocateHostOptions): Promise<HostMemory>;
}

/**
 * Makes a device of the host's memory and threads. Segments that processes of this user left behind when they were
 * killed are removed first, see {@link sweepShared}.
 *
 * Under Deno this needs --allow-ffi.
 *
 * @throws `CE_LIBRARY_NOT_FOUND` when the package's addon is not there.
 * @throws `CE_SHM_FAILED` when `directory` cannot be used.
 */
export async function createHostDevice(options: HostDeviceOptions = {}): Promise<HostDevice> {
  const index = options.index ?? 0;
  const threads = options.threads ?? defaultThreads();
  if (!Number.isSafeInteger(index) || index < 0) throw new RangeError(`index must be 0 or more: ${index}`);
  if (!Number.isSafeInteger(threads) || threads < 1) throw new RangeError(`threads must be 1 or more: ${threads}`);
  const made = await awaitNative(() =>
    addon().createHostDevice(index, threads, options.directory ?? defaultSharedDirectory),
  );
  // All memory of this kind is host memory, which the class, made for both kinds, does not know.
  return new NativeBackedDevice(made, {
    kind: 'host',
    index,
    supports: { hostAddressable: true, pinning: false },
  }) as unknown as HostDevice;
}

/**
 * Unlinks shared memory segments of this user whose processes are gone (killed before they could do it), and gives
 * their names. Segments of running processes are left alone, in other PID namespaces too.
 */
export async function sweepShared(directory: string = defaultSharedDirectory): Promise<string[]> {
  return awaitNative(() => addon().sweepShared(directory));
}
