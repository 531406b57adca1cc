import { availableParallelism } from 'node:os';
import process from 'node:process';
import { createCudaDevice, createHostDevice, listCudaDevices } from '@checkpoint-engine/device';
import type { Device, FileRead } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import { floor } from '../floors/floor-program.ts';
import { median } from '../report/statistics.ts';
import { printTable } from '../report/table.ts';
import { checkpointReads } from './checkpoint-reads.ts';

/** What `bench register` is asked to do. */
export interface RegisterScenarioOptions {
  readonly dir: string;
  readonly threads?: number | undefined;
  readonly rounds: number;
}

/** Reads warm files into a fresh pool, with and without pinning, beside plain threads that do nothing but read. */
export async function registerScenario({
  dir,
  threads = availableParallelism(),
  rounds,
}: RegisterScenarioOptions): Promise<void> {
  const { reads, paths, sizeBytes } = await checkpointReads(dir);
  const rows: string[][] = [];
  const row = (what: string, ms: readonly number[]): void => {
    const best = median(ms.slice(ms.length > 1 ? 1 : 0));
    rows.push([
      what,
      ms.map((value) => `${value.toFixed(0)} ms`).join(', '),
      `${(sizeBytes / best / 1e6).toFixed(1)} GB/s`,
    ]);
  };
  row(
    `floor: ${threads} threads pread`,
    floor(['pread', String(threads), ...paths]).seconds.map((s) => s * 1e3),
  );
  const host = await createHostDevice({ threads });
  row('read, no pinning', await times(rounds, () => fill(host, sizeBytes, reads)));
  await host.close();
  if ((await listCudaDevices()).available) {
    const cuda = await createCudaDevice({ threads });
    row('read and pin', await times(rounds, () => fill(cuda, sizeBytes, reads)));
    row('pin memory that was never touched', await times(rounds, () => pin(cuda, sizeBytes)));
    await cuda.close();
  }
  process.stdout.write(`${formatBytes(sizeBytes)} in ${reads.length} tensors, ${paths.length} files\n`);
  printTable(['what', 'rounds', 'rate'], rows);
}

async function times(rounds: number, work: () => Promise<() => void>): Promise<number[]> {
  const ms: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startedAtMs = performance.now();
    const release = await work();
    ms.push(performance.now() - startedAtMs);
    release();
  }
  return ms;
}

async function fill(device: Device, sizeBytes: number, reads: readonly FileRead[]): Promise<() => void> {
  const memory = await device.allocateHost(sizeBytes);
  await memory.read(reads);
  return () => memory.close();
}

async function pin(device: Device, sizeBytes: number): Promise<() => void> {
  const memory = await device.allocateHost(sizeBytes);
  await memory.pin();
  return () => memory.close();
}
