// Times planning for Kimi-K2's 139,583 tensors over 256 ranks, using the build:
// npx tsc -b packages/planner && npx deno run -A packages/planner/test/measure-plan.ts
import { performance } from 'node:perf_hooks';
import type { Needs } from '@checkpoint-engine/interface';
import {
  assignPullReaders,
  balanceByBytes,
  bucketLayout,
  checkUniqueTensors,
  planBuckets,
  planPull,
} from '@checkpoint-engine/planner';
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

// Every run uses a fresh copy, like metas that were just decoded, so nothing is cached in their strings.
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

// The needs of 16 ranks on two hosts of eight: experts in turn, a sixteenth of the columns of every other matrix, and
// all vectors. The host already has its own eight sixteenths of the tensors.
const RANKS = 16;
const host = Array.from({ length: RANKS / 2 }, (_, rank) => rank);
const tensors = kimiK2Metas(RANKS).flatMap(({ rank, tensors: own }) => own.map((meta) => ({ rank, ...meta })));
const ownerOf = Int32Array.from(tensors, ({ rank }) => (host.includes(rank) ? -1 : rank));
const needs = new Map(host.map((rank) => [rank, keptBy(rank)] as const));
const chunkBytes = 32 * 2 ** 20;
measure(
  `planPull for ${tensors.length} tensors and ${host.length} ranks of a host`,
  () => ({ ownerOf, needs, chunkBytes }),
  planPull,
);
measure(
  'assignPullReaders',
  () => planPull({ ownerOf, needs, chunkBytes }),
  (chunks) =>
    assignPullReaders(chunks, {
      local: new Set(),
      localTopology: new Map(host.map((rank) => [`nic${rank}`, new Set([rank])])),
      remoteTopology: new Map(Array.from({ length: RANKS }, (_, rank) => [`nic${rank}`, new Set([rank])])),
    }),
);

function keptBy(rank: number): Needs {
  const boxes = tensors.flatMap(({ name, shape, sizeBytes }, index) => {
    const expert = /experts\.(\d+)\./.exec(name)?.[1];
    if (expert !== undefined) return Number(expert) % RANKS === rank ? [[index, 0, 1, sizeBytes, sizeBytes]] : [];
    const [rows = 1, columns = 1] = shape;
    const rowBytes = sizeBytes / rows / RANKS;
    if (columns === 1 || !Number.isSafeInteger(rowBytes)) return [[index, 0, 1, sizeBytes, sizeBytes]];
    return [[index, rank * rowBytes, rows, rowBytes, rowBytes * RANKS]];
  });
  return {
    tensor: Uint32Array.from(boxes, (box) => box[0]!),
    offsetBytes: Float64Array.from(boxes, (box) => box[1]!),
    rows: Float64Array.from(boxes, (box) => box[2]!),
    rowBytes: Float64Array.from(boxes, (box) => box[3]!),
    pitchBytes: Float64Array.from(boxes, (box) => box[4]!),
    rest: new Uint32Array(0),
  };
}
