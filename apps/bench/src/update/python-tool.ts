import type { WorkerClock } from '../world/engine-process.ts';
import { runPythonRanks } from './python-ranks.ts';

/** Times of one rank of the Python tool, in seconds. */
export interface PythonToolFigures {
  readonly torch: string;
  readonly rank: number;
  /** From the start of its process until the server on the GPU is ready to register. */
  readonly ready_s: number;
  readonly register_s: readonly number[];
  readonly gather_s: number;
  readonly buckets: readonly PythonToolUpdates[];
}

/** Its updates with one bucket size. */
export interface PythonToolUpdates {
  readonly bucket_gib: number;
  /** Peak device memory during an update, minus the memory in use before. */
  readonly device_memory_bytes: number;
  /** As shipped: every update creates and destroys the process group. */
  readonly update_s: readonly number[];
  readonly update_kept_group_s: readonly number[];
  readonly worker: WorkerClock;
  readonly worker_kept_group: WorkerClock;
}

/** Options of a run of the Python tool. */
export interface PythonToolOptions {
  readonly python: string;
  readonly folder: string;
  /** Port of each rank's engine. */
  readonly enginePorts: readonly number[];
  readonly updates: number;
  readonly registers?: number | undefined;
  /** `PS_MAX_BUCKET_SIZE_GB`, one after the other. @default its own, 8 GiB */
  readonly bucketGiB?: readonly number[] | undefined;
}

/** Runs the Python tool against the same engines, one rank for each, and returns the figures of every rank. */
export async function runPythonTool(options: PythonToolOptions): Promise<PythonToolFigures[]> {
  const { python, folder, enginePorts, updates, registers = 1, bucketGiB = [8] } = options;
  const figures = await runPythonRanks<PythonToolFigures>({
    python,
    script: 'reference.py',
    worldSize: enginePorts.length,
    args: (rank) => [
      ...['--dir', folder, '--engine-port', String(enginePorts[rank]), '--updates', String(updates)],
      ...['--registers', String(registers), '--bucket-gib', ...bucketGiB.map(String)],
    ],
  });
  return figures.map((one) => one!);
}
