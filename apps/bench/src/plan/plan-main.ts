// Plans Kimi-K2 in a new process, and sends the times of the first and of later plans.
import process from 'node:process';
import { decodeRankMetas, encodeRankMetas } from '@checkpoint-engine/meta';
import { affinityOf, planBuckets } from '@checkpoint-engine/planner';
import { kimiK2Metas } from '../gather/kimi-k2-metas.ts';
import { threadTime } from '../report/thread-time.ts';

/** Measurements of one process. */
export interface PlanFigures {
  readonly ms: readonly number[];
  /** The part of this time that the thread ran on a core, which does not depend on other load. */
  readonly busyMs: readonly number[];
  /** Time on a core to find the tensors that must stay together, once when metas are gathered. */
  readonly groupsBusyMs: number;
  readonly bucketCount: number;
  readonly tensorCount: number;
  readonly digest: string;
}

const [owners, rounds, bucketBytes, fillBytes] = process.argv.slice(2).map(Number) as [number, number, number, number];
// Decoded metas, as in real ranks.
const metas = kimiK2Metas(owners, 'kimi-k2').map((rank) => decodeRankMetas(encodeRankMetas(rank)));
const beforeGroups = threadTime();
for (const { tensors } of metas) affinityOf(tensors);
const groupsBusyMs = threadTime().busyMs - beforeGroups.busyMs;
const ms: number[] = [];
const busyMs: number[] = [];
let plan!: ReturnType<typeof planBuckets>;
for (let round = 0; round < rounds; round++) {
  const startedAtMs = performance.now();
  const before = threadTime();
  plan = planBuckets(metas, { bucketBytes, fillBytes });
  busyMs.push(threadTime().busyMs - before.busyMs);
  ms.push(performance.now() - startedAtMs);
}
const { buckets, tensorCount, digest } = plan;
process.send!({ ms, busyMs, groupsBusyMs, bucketCount: buckets.length, tensorCount, digest } satisfies PlanFigures);
process.disconnect();
