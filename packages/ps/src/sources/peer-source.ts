import type { MemoryRange } from '@checkpoint-engine/interface';
import type { Bucket } from '@checkpoint-engine/planner';
import type { Stage } from '../progress-event.ts';
import type { BucketSource } from './bucket-source.ts';
import type { RemotePools } from './remote-pools.ts';

/** Maximum number of concurrent reads: enough to keep links busy while the next read asks for its lease. */
const PENDING_READS = 4;

/** Buckets from pools of other processes, which the P2P transport writes directly to their target. */
export class PeerSource implements BucketSource {
  readonly #pools: RemotePools;
  readonly #pending = new Set<Promise<void>>();

  constructor(pools: RemotePools) {
    this.#pools = pools;
  }

  stagesOf(): readonly Stage[] {
    return ['read'];
  }

  async ready(): Promise<void> {
    while (this.#pending.size >= PENDING_READS) await Promise.race(this.#pending);
  }

  load(bucket: Bucket, target: MemoryRange): Promise<void> {
    const read = this.#pools.read({ bucket, fromBytes: 0, toBytes: bucket.sizeBytes }, target);
    const settled: Promise<void> = read.catch(() => {}).finally(() => this.#pending.delete(settled));
    this.#pending.add(settled);
    return read;
  }

  async close(): Promise<void> {}
}
