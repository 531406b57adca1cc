import { readFileSync, statfsSync } from 'node:fs';

const EVERY_MS = 25;
const SHARED_FOLDER = '/dev/shm';

/** The peak memory of each holder. */
export interface MemoryPeaks {
  /** Private memory by process: heaps and pools, without shared memory. */
  readonly ownBytes: readonly number[];
  /** Shared memory, counted once, in addition to the memory at the sampler's creation. */
  readonly sharedBytes: number;
}

/** Samples the memory of a set of processes every 25 ms. */
export class MemorySampler {
  readonly #pids: readonly number[];
  readonly #sharedBefore = sharedBytes();
  #timer: NodeJS.Timeout | undefined;
  #peaks: MemoryPeaks;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
    this.#peaks = { ownBytes: pids.map(ownBytesOf), sharedBytes: 0 };
  }

  get peaks(): MemoryPeaks {
    return this.#peaks;
  }

  /** Starts or resumes sampling. */
  start(): void {
    this.#timer ??= setInterval(() => this.#sample(), EVERY_MS).unref();
  }

  /** Sampling takes time from the processes, so it pauses while they are timed. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sample(): void {
    this.#peaks = {
      ownBytes: this.#pids.map((pid, index) => Math.max(this.#peaks.ownBytes[index]!, ownBytesOf(pid))),
      sharedBytes: Math.max(this.#peaks.sharedBytes, sharedBytes() - this.#sharedBefore),
    };
  }
}

/** Private memory of a process; 0 when it has ended. */
export function ownBytesOf(pid: number): number {
  try {
    return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function sharedBytes(): number {
  const { blocks, bfree, bsize } = statfsSync(SHARED_FOLDER);
  return (blocks - bfree) * bsize;
}
