import { readFileSync, statfsSync } from 'node:fs';

const EVERY_MS = 25;
const SHARED_FOLDER = '/dev/shm';

/** Most memory that processes held at one time. */
export interface MemoryPeak {
  /** Of their own: heaps and pools, what they share left out. */
  readonly ownBytes: number;
  /** What lay in shared memory, beyond what lay there when the sampler was made. */
  readonly sharedBytes: number;
}

/** Adds up what a set of processes holds, every 25 ms. */
export class MemorySampler {
  readonly #pids: readonly number[];
  readonly #sharedBefore = sharedBytes();
  readonly #timer: NodeJS.Timeout;
  #peak = { ownBytes: 0, sharedBytes: 0 };

  constructor(pids: readonly number[]) {
    this.#pids = pids;
    this.#timer = setInterval(() => this.#sample(), EVERY_MS);
  }

  stop(): MemoryPeak {
    clearInterval(this.#timer);
    return this.#peak;
  }

  #sample(): void {
    const own = this.#pids.reduce((sum, pid) => sum + ownBytes(pid), 0);
    this.#peak = {
      ownBytes: Math.max(this.#peak.ownBytes, own),
      sharedBytes: Math.max(this.#peak.sharedBytes, sharedBytes() - this.#sharedBefore),
    };
  }
}

function ownBytes(pid: number): number {
  try {
    return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // it has ended
  }
}

function sharedBytes(): number {
  const { blocks, bfree, bsize } = statfsSync(SHARED_FOLDER);
  return (blocks - bfree) * bsize;
}
