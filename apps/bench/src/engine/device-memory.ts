/** Device memory in use, in bytes. */
interface InUse {
  /** Memory of the worker's tensors. */
  readonly allocated: number;
  /** Memory that torch holds in the worker, used by tensors or not. */
  readonly reserved: number;
  /** Memory of all processes on the device. */
  readonly device: number;
}

/** A worker's figures of its device's memory during an update. */
export interface WorkerMemory {
  readonly before: InUse;
  readonly most: InUse;
  readonly after: InUse;
  /** The driver's figures for each process on the device, by process ID. */
  readonly processes: Readonly<Record<string, number>>;
}

/**
 * The memory of an update in addition to the memory in use before, for the worker with the most. Bytes; empty without a
 * GPU.
 *
 * @param when Prefix of the names: `first`, `later`.
 */
export function memoryFigures(when: string, workers: readonly Partial<WorkerMemory>[]): Record<string, number> {
  const seen = workers.filter((worker): worker is WorkerMemory => worker.before !== undefined);
  if (seen.length === 0) return {};
  const most = (of: (worker: WorkerMemory) => number): number => Math.max(...seen.map(of));
  return {
    [`${when}AllocatedBytes`]: most(({ before, most }) => most.allocated - before.allocated),
    [`${when}ReservedBytes`]: most(({ before, most }) => most.reserved - before.reserved),
    [`${when}DeviceBytes`]: most(({ before, most }) => most.device - before.device),
    [`${when}KeptBytes`]: most(({ before, after }) => after.device - before.device),
  };
}
