import { env } from 'node:process';
import type { BroadcastTransport } from '@checkpoint-engine/interface';
import type { DeviceKind } from '../config/requests.ts';
import { loadPackage } from './load-package.ts';

/**
 * Loads the transport that broadcasts buckets: NCCL for GPUs, shared memory on the host, none for a single rank.
 *
 * @throws {CheckpointEngineError} `CE_PACKAGE_NOT_FOUND`
 */
export async function loadBroadcast(kind: DeviceKind, worldSize: number): Promise<BroadcastTransport | undefined> {
  if (worldSize === 1) return undefined;
  if (kind === 'host') {
    const name = '@checkpoint-engine/transport-shm';
    const reason = '--device host with more than one rank needs it';
    const { shm } = await loadPackage(name, () => import('@checkpoint-engine/transport-shm'), reason);
    return shm();
  }
  const name = '@checkpoint-engine/transport-nccl';
  const reason = 'more than one rank on GPUs needs it';
  // Broadcasts do not use this feature, and its setup takes time and device memory.
  env.NCCL_NVLS_ENABLE ??= '0';
  const { nccl } = await loadPackage(name, () => import('@checkpoint-engine/transport-nccl'), reason);
  return nccl();
}
