import type { Environment } from '../config/environment.ts';
import type { Check, Diagnosis } from './check.ts';
import { checkDriver, checkGpus } from './gpu-checks.ts';
import { checkHugePages, checkLimits, checkMemory, checkRuntime, checkSharedMemory } from './host-checks.ts';
import { checkLeftovers } from './leftovers-check.ts';
import { checkMooncake, checkNccl } from './library-checks.ts';
import { checkNuma } from './numa-check.ts';
import { checkRdma } from './rdma-check.ts';

/** Checks everything that updates need. */
export async function diagnose(env: Environment): Promise<Diagnosis> {
  // This check comes first, so that the memory that it frees counts as free.
  const leftovers = await checkLeftovers();
  const checks = await Promise.all([
    checkRuntime(),
    checkDriver(),
    checkGpus(),
    checkNccl(env),
    checkMooncake(),
    checkRdma(),
    checkNuma(),
    checkMemory(),
    checkSharedMemory(),
    checkHugePages(),
    checkLimits(),
  ]);
  const all = [...checks.flat(), leftovers];
  return { checks: all, devices: usableDevices(all) };
}

function usableDevices(checks: readonly Check[]): Diagnosis['devices'] {
  const is = (id: string, ...statuses: Check['status'][]): boolean =>
    checks.some((check) => check.id === id && statuses.includes(check.status));
  return [
    ...(is('gpus', 'found') ? (['cuda'] as const) : []),
    ...(is('shm', 'found', 'warning') ? (['host'] as const) : []),
  ];
}
