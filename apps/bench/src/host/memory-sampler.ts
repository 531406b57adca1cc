import { readFileSync, statfsSync } from 'node:fs';

const EVERY_MS = 25;
const SHARED_FOLDER = '/dev/shm';

/** The most that each held at any time. */
export interface MemoryPeaks {
  /** By process, of its own: heaps and pools, what it shares left out. */
  readonly ownBytes: readonly number[];
  /** In shared memory, counted once, beyond what lay there when the sampler was made. */
  readonly sharedBytes: number;
}

/** Looks at what a set of processes holds, every 25 ms. */
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

  /** Starts, or goes on. */
  start(): void {
    this.#timer ??= setInterval(() => this.#sample(), EVERY_MS).unref();
  }

  /** Looking takes time from those that are looked at: not while they are timed. */
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

/** Memory of a process that it shares with nobody; 0 when it has ended. */
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
