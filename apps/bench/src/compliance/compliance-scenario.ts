import process from 'node:process';
import * as runner from 'node:test';
import { listCudaDevices } from '@checkpoint-engine/device';
import { broadcastSuite, processes, type Skip } from '@checkpoint-engine/transport-compliance';
import { ncclAvailability } from '@checkpoint-engine/transport-nccl';

/** What `bench compliance` is asked to do. */
export interface ComplianceOptions {
  readonly transport: 'nccl' | 'shm';
  /** @default as many as there are GPUs, 4 at most; 3 where they share one */
  readonly ranks?: number | undefined;
  /** Also tests a range beyond 4 GiB. */
  readonly largeMemory: boolean;
}

const NCCL_SKIPS: readonly Skip[] = [
  {
    test: 'mismatch',
    reason:
      'NCCL compares neither sizes nor roots between members, and a comparison of our own would cost a collective for every bucket; the parameter server compares plans by digest before it sends',
  },
];

/**
 * Runs the compliance suite with Node's own test runner, a process for each member, so that a machine needs nothing but
 * the bundle. The process's exit status says how it went.
 */
export async function complianceScenario(options: ComplianceOptions): Promise<void> {
  const { transport, ranks, largeMemory } = options;
  const factory = new URL(`./${transport}-member.js`, import.meta.url);
  const common = { runner, name: transport, factory, largeMemory, world: processes() };
  if (transport === 'shm') return broadcastSuite({ ...common, maxRanks: ranks ?? 4 });
  const gpus = await usableGpus();
  const maxRanks = ranks ?? (gpus === 1 ? 3 : Math.min(gpus, 4));
  process.stderr.write(`${maxRanks} ranks on ${gpus} GPUs\n`);
  // Ranks that share a GPU take turns at it: right bytes, but no haste.
  const patience = maxRanks > gpus ? { patienceMs: 120_000, abortMs: 10_000 } : {};
  broadcastSuite({ ...common, ...patience, maxRanks, skip: NCCL_SKIPS });
}

async function usableGpus(): Promise<number> {
  const found = await listCudaDevices();
  if (!found.available) throw new Error(`No GPU: ${found.reason}`);
  const library = ncclAvailability();
  if (!library.available) throw new Error(`No NCCL: ${library.reason}\n${library.hint}`);
  process.stderr.write(`NCCL ${library.version}: ${library.path}\n`);
  return found.devices.length;
}
