import type { AllocateHostOptions, Device, HostMemory, SharedMemory } from '@checkpoint-engine/interface';
import { awaitNative } from '@checkpoint-engine/native-kit';
import { defaultSharedDirectory, defaultThreads } from './defaults.ts';
import { addon } from './native.ts';
import { NativeBackedDevice } from './native-backed-device.ts';

/** Options of {@link createHostDevice}. */
export interface HostDeviceOptions {
  /** Distinguishes several devices of a host: the end of their `uuid`. @default 0 */
  readonly index?: number | undefined;
  /** Directory of shared memory: a tmpfs that all processes see under the same path. @default '/dev/shm' */
  readonly directory?: string | undefined;
  /** Number of threads that copy, and of threads that read files. @default the CPUs this process may use, at most 16 */
  readonly threads?: number | undefined;
}

/** Shared memory of the host, which its processes can also view. */
export interface SharedHostMemory extends HostMemory, SharedMemory {
  readonly kind: 'host';
}

/** A host that replaces a GPU. All of its memory is host memory, which JavaScript can view. */
export interface HostDevice extends Device {
  readonly kind: 'host';
  allocateShared(sizeBytes: number): Promise<SharedHostMemory>;
  openShared(handle: Uint8Array, sizeBytes: number): Promise<HostMemory>;
  allocate(sizeBytes: number): Promise<HostMemory>;
  allocateHost(sizeBytes: number, options: AllocateHostOptions & { readonly shared: true }): Promise<SharedHostMemory>;
  allocateHost(sizeBytes: number, options?: AllocateHostOptions): Promise<HostMemory>;
}

/**
 * Creates a device from the host's memory and threads. First removes segments that killed processes of this user left
 * behind, see {@link sweepShared}.
 *
 * Under Deno this needs --allow-ffi.
 *
 * @throws `CE_LIBRARY_NOT_FOUND` if the package's addon is missing.
 * @throws `CE_SHM_FAILED` if `directory` cannot be used.
 */
export async function createHostDevice(options: HostDeviceOptions = {}): Promise<HostDevice> {
  const index = options.index ?? 0;
  const threads = options.threads ?? defaultThreads();
  if (!Number.isSafeInteger(index) || index < 0) throw new RangeError(`index must be 0 or more: ${index}`);
  if (!Number.isSafeInteger(threads) || threads < 1) throw new RangeError(`threads must be 1 or more: ${threads}`);
  const made = await awaitNative(() =>
    addon().createHostDevice(index, threads, options.directory ?? defaultSharedDirectory),
  );
  // All memory of a host device is host memory; the class serves both kinds of device, so its type is more general.
  return new NativeBackedDevice(made, {
    kind: 'host',
    index,
    supports: { hostAddressable: true, pinning: false },
  }) as unknown as HostDevice;
}

/**
 * Unlinks shared memory segments of this user whose processes were killed before they could unlink them, and returns
 * their names. Does not touch segments of running processes, even in other PID namespaces.
 */
export async function sweepShared(directory: string = defaultSharedDirectory): Promise<string[]> {
  return awaitNative(() => addon().sweepShared(directory));
}
