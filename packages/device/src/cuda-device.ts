import { CheckpointEngineError, type Device } from '@checkpoint-engine/interface';
import { awaitNative } from '@checkpoint-engine/native-kit';
import { defaultSharedDirectory, defaultThreads } from './defaults.ts';
import { addon } from './native.ts';
import { NativeBackedDevice } from './native-backed-device.ts';

/**
 * Options of {@link createCudaDevice}: selects one of the GPUs that `CUDA_VISIBLE_DEVICES` makes visible to this
 * process.
 */
export interface CudaDeviceOptions {
  /** Index among the visible GPUs. @default 0 */
  readonly index?: number | undefined;
  /** `GPU-...` in the format of nvidia-smi, instead of `index`. */
  readonly uuid?: string | undefined;
  /** Number of threads that read files. @default the CPUs this process may use, at most 16 */
  readonly threads?: number | undefined;
  /** Directory of shared host memory. @default '/dev/shm' */
  readonly directory?: string | undefined;
}

/** One GPU that is visible to this process. */
export interface CudaDeviceInfo {
  /** The `index` for {@link createCudaDevice}. */
  readonly index: number;
  /** `GPU-...` in the format of nvidia-smi, `MIG-...` for a part of a GPU. */
  readonly uuid: string;
  readonly name: string;
  readonly totalBytes: number;
}

/** Result of {@link listCudaDevices}. */
export type CudaDevices =
  | {
      readonly available: true;
      /** Path of the driver's library. */
      readonly driverPath: string;
      /** Newest CUDA version that the driver supports, such as `12.8`. */
      readonly cudaVersion: string;
      readonly devices: readonly CudaDeviceInfo[];
    }
  | { readonly available: false; readonly reason: string };

/**
 * Lists the GPUs that this process can use, or returns why there are none. Never rejects because of the machine.
 *
 * `CHECKPOINT_ENGINE_CUDA_LIB` selects another file than `libcuda.so.1`.
 *
 * @source https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html
 */
export async function listCudaDevices(): Promise<CudaDevices> {
  try {
    const { unavailable, driverPath, driverVersion, devices } = await awaitNative(() => addon().listCudaDevices());
    if (unavailable !== '') return { available: false, reason: unavailable };
    const cudaVersion = `${Math.trunc(driverVersion / 1000)}.${Math.trunc((driverVersion % 1000) / 10)}`;
    return { available: true, driverPath, cudaVersion, devices };
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error)) throw error;
    return { available: false, reason: error.message };
  }
}

/**
 * Opens a GPU with the CUDA driver. The call loads the driver: neither toolkit nor headers are needed, and importing
 * this package never touches CUDA. The device shares the GPU's primary context with the rest of the process (NCCL).
 *
 * Under Deno this needs --allow-ffi.
 *
 * @throws `CE_DEVICE_UNAVAILABLE` if there is no driver or no such GPU.
 * @throws `CE_LIBRARY_NOT_FOUND` if the package's addon is missing.
 */
export async function createCudaDevice(options: CudaDeviceOptions = {}): Promise<Device> {
  const index = options.uuid === undefined ? (options.index ?? 0) : await indexOf(options.uuid);
  const threads = options.threads ?? defaultThreads();
  if (!Number.isSafeInteger(index) || index < 0) throw new RangeError(`index must be 0 or more: ${index}`);
  if (!Number.isSafeInteger(threads) || threads < 1) throw new RangeError(`threads must be 1 or more: ${threads}`);
  const made = await awaitNative(() =>
    addon().createCudaDevice(index, threads, options.directory ?? defaultSharedDirectory),
  );
  return new NativeBackedDevice(made, {
    kind: 'cuda',
    index,
    supports: { hostAddressable: false, pinning: true },
  });
}

async function indexOf(uuid: string): Promise<number> {
  const found = await listCudaDevices();
  const device = found.available ? found.devices.find((one) => one.uuid === uuid) : undefined;
  if (device) return device.index;
  const seen = found.available ? found.devices.map((one) => one.uuid).join(', ') || 'none' : found.reason;
  throw new CheckpointEngineError(
    'CE_DEVICE_UNAVAILABLE',
    `GPU "${uuid}" is not visible to this process; visible: ${seen}`,
    'Check nvidia-smi -L and CUDA_VISIBLE_DEVICES',
  );
}
