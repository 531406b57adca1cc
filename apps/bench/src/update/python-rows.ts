import type { ResultRow } from '../report/result.ts';
import { median } from '../report/statistics.ts';
import type { PythonToolFigures, PythonToolUpdates } from './python-tool.ts';
import type { UpdateFigures } from './update-figures.ts';
import { workerFigures } from './worker-figures.ts';

const SHIPPED = 'Python tool, as shipped';
const KEPT = 'Python tool, group kept';

/** Measurements of the Python tool as rows: times are those of the slowest rank. */
export function pythonRows(
  { python, checkpoint }: UpdateFigures,
  common: Pick<ResultRow, 'model' | 'ranks'>,
  floorMs: number,
): ResultRow[] {
  if (python === undefined) return [];
  const { ranks, checked, wrong } = python;
  const { sizeBytes, tensorCount } = checkpoint;
  const slowest = (of: (rank: PythonToolFigures) => readonly number[]): number[] =>
    of(ranks[0]!).map((_, index) => 1e3 * Math.max(...ranks.map((rank) => of(rank)[index]!)));
  const registerMs = slowest(({ register_s }) => register_s);
  const rows: ResultRow[] = [
    { ...common, by: SHIPPED, what: 'register', samplesMs: registerMs, sizeBytes },
    { ...common, by: SHIPPED, what: 'gather', samplesMs: slowest(({ gather_s }) => [gather_s]) },
    { ...common, by: SHIPPED, what: 'start to ready', samplesMs: slowest(({ ready_s }) => [ready_s]) },
  ];
  for (const [index, { bucket_gib, worker, worker_kept_group }] of ranks[0]!.buckets.entries()) {
    const bucketBytes = bucket_gib * 2 ** 30;
    const deviceBytes = Math.max(...ranks.map((rank) => rank.buckets[index]!.device_memory_bytes));
    const add = (by: string, of: (updates: PythonToolUpdates) => readonly number[], clock: typeof worker): void => {
      const samplesMs = slowest((rank) => of(rank.buckets[index]!));
      const figures = workerFigures(clock, median(samplesMs), tensorCount);
      const isLast = index === ranks[0]!.buckets.length - 1 && by === KEPT;
      rows.push({
        ...common,
        ...{ by, what: 'update', bucketBytes, samplesMs, sizeBytes, floorMs, figures, driverBytes: deviceBytes },
        // The weights of the engines at the end come from its last updates.
        ...(isLast && { checked, wrong }),
      });
    };
    add(SHIPPED, ({ update_s }) => update_s, worker);
    add(KEPT, ({ update_kept_group_s }) => update_kept_group_s, worker_kept_group);
  }
  return rows;
}
