// Times planning for Kimi-K2's 139,583 tensors over 256 ranks. Runs what the build made:
// npx tsc -b packages/planner && npx deno run -A packages/planner/test/measure-plan.ts
import { performance } from 'node:perf_hooks';
import { balanceByBytes, bucketLayout, checkUniqueTensors, planBuckets } from '@checkpoint-engine/planner';
import { kimiK2Metas } from './support/kimi-k2.ts';

const RUNS = 15;
const options = { bucketBytes: 2_348_810_240, fillBytes: 256 * 2 ** 20 };

function measure<T>(what: string, makeInput: () => T, run: (input: T) => unknown): void {
  const times: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const input = makeInput();
    const start = performance.now();
    run(input);
    times.push(performance.now() - start);
  }
  const median = times.toSorted((a, b) => a - b)[RUNS >> 1]!;
  console.log(`${what}: first ${times[0]!.toFixed(1)} ms, median of ${RUNS} ${median.toFixed(1)} ms`);
}

// A fresh copy for every run, as when metas were just decoded: nothing is cached in their strings.
const text = JSON.stringify(kimiK2Metas(256));
const freshMetas = (): ReturnType<typeof kimiK2Metas> => JSON.parse(text);

measure('planBuckets', freshMetas, (metas) => planBuckets(metas, options));
measure('checkUniqueTensors', freshMetas, checkUniqueTensors);
measure(
  'balanceByBytes',
  () => freshMetas().flatMap(({ tensors }) => tensors),
  (tensors) => balanceByBytes(tensors, 256),
);
const metas = freshMetas();
const plan = planBuckets(metas, options);
measure(
  `bucketLayout of all ${plan.buckets.length} buckets`,
  () => plan,
  ({ buckets, alignBytes }) => {
    for (const bucket of buckets) bucketLayout(metas[bucket.ownerRank]!, bucket, alignBytes);
  },
);
