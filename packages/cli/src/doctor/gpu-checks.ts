import { type CudaDeviceInfo, listCudaDevices } from '@checkpoint-engine/device';
import { formatBytes } from '@checkpoint-engine/planner';
import { plural } from '../output/format.ts';
import type { Check } from './check.ts';
import { parseDriverVersion } from './proc-files.ts';
import { readText } from './read-text.ts';

/** The GPUs that CUDA makes visible to this process. */
export async function checkGpus(): Promise<Check> {
  const about = { id: 'gpus', title: 'GPUs' };
  const need = 'needed for --device cuda';
  const cuda = await listCudaDevices();
  const details = { ...cuda };
  if (!cuda.available) {
    const hint =
      'Install the NVIDIA driver on the host, or set CHECKPOINT_ENGINE_CUDA_LIB to the path of libcuda.so.1; in a container, docker run --gpus all';
    return { ...about, status: 'optional', value: `${cuda.reason}; ${need}`, hint, details };
  }
  if (cuda.devices.length === 0) {
    const hint = 'Check CUDA_VISIBLE_DEVICES and the output of "nvidia-smi"; in a container, docker run --gpus all';
    return { ...about, status: 'optional', value: `none; ${need}`, hint, details };
  }
  return { ...about, status: 'found', value: `${gpusText(cuda.devices)}, CUDA ${cuda.cudaVersion}`, details };
}

/** The kernel driver of NVIDIA. */
export async function checkDriver(): Promise<Check> {
  const about = { id: 'driver', title: 'NVIDIA driver' };
  const version = parseDriverVersion((await readText('/proc/driver/nvidia/version')) ?? '');
  if (version) return { ...about, status: 'found', value: version, details: { version } };
  return {
    ...about,
    status: 'optional',
    value: 'not loaded; needed for --device cuda',
    hint: 'Install the NVIDIA driver on the host; in a container, docker run --gpus all',
  };
}

function gpusText(gpus: readonly CudaDeviceInfo[]): string {
  const names = [...new Set(gpus.map(({ name }) => name))];
  const bytes = [...new Set(gpus.map(({ totalBytes }) => formatBytes(totalBytes)))];
  return `${plural(gpus.length, 'GPU')}: ${names.join(', ')} (${bytes.join(', ')})`;
}
