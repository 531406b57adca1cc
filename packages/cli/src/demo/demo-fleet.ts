import { join } from 'node:path';
import type { DeviceKind } from '../config/requests.ts';
import type { LogLevel } from '../output/log-options.ts';
import { type Comparison, compareDigests } from './compare-digests.ts';
import { DemoWorker } from './demo-worker.ts';
import type { HeldTensorInfo } from './worker-messages.ts';

/** The options of {@link DemoFleet.start}. */
export interface DemoFleetOptions {
  readonly size: number;
  readonly device: DeviceKind;
  /** The folder for the workers' sockets. */
  readonly folder: string;
  readonly logLevel: LogLevel;
  readonly onLogLine: (line: string) => void;
}

/** The comparison of all workers with the files after an update. */
export interface FleetComparison {
  readonly comparisons: readonly Comparison[];
  /** Number of tensors at the same address as in the previous comparison. Absent in the first one. */
  readonly inPlaceCount?: number | undefined;
}

/** The workers of the demo. */
export class DemoFleet {
  readonly sockets: readonly string[];
  #workers: readonly DemoWorker[] = [];
  #before: readonly ReadonlyMap<string, HeldTensorInfo>[] | undefined;

  private constructor(sockets: readonly string[]) {
    this.sockets = sockets;
  }

  /** Starts the workers. Resolves when all listen. Ends all of them before it rejects. */
  static async start({ size, device, folder, logLevel, onLogLine }: DemoFleetOptions): Promise<DemoFleet> {
    const fleet = new DemoFleet(Array.from({ length: size }, (_, index) => join(folder, `worker-${index}.sock`)));
    const starting = fleet.sockets.map((socket, index) =>
      DemoWorker.start({ index, device, socket, logLevel }, onLogLine),
    );
    const started = await Promise.allSettled(starting);
    fleet.#workers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = started.find((result) => result.status === 'rejected');
    if (!failed) return fleet;
    await fleet.close();
    throw failed.reason;
  }

  /** Compares what the workers hold with the digests of the files. */
  async compare(files: ReadonlyMap<string, string>): Promise<FleetComparison> {
    const held = await Promise.all(this.#workers.map((worker) => worker.describe()));
    const before = this.#before;
    this.#before = held;
    const comparisons = held.map((tensors, index) => {
      const digests = new Map([...tensors].map(([name, { digest }]) => [name, digest]));
      return compareDigests(index, digests, files);
    });
    if (!before) return { comparisons };
    let inPlaceCount = 0;
    for (const [index, tensors] of held.entries()) {
      for (const [name, { address }] of tensors) if (before[index]?.get(name)?.address === address) inPlaceCount++;
    }
    return { comparisons, inPlaceCount };
  }

  /** Ends the workers. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()));
  }
}
