import { assignReceiverRanks, divideModel, needsOf, type ParallelLayout, positionOf } from '@checkpoint-engine/planner';
import type { Ranks } from '../check-scenario.ts';
import type { ClusterLinks } from '../cluster/links.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import type { Task, TaskList } from '../engine/task.ts';
import { sizedTensors } from '../model/world-metas.ts';
import type { Scenario } from '../scenario.ts';
import { nicTopology } from './nic-topology.ts';
import { keptBytes, type PlannedMethod } from './planned.ts';
import { type PythonBucket, pythonBuckets, pythonShares } from './python-buckets.ts';
import { broadcastPath, type Group, placeOf, reloadMs, workerCost } from './steps.ts';

const GIB = 2 ** 30;
/** Largest bucket of the Python tool unless `PS_MAX_BUCKET_SIZE_GB` is set. */
const DEFAULT_BUCKET_BYTES = 8 * GIB;

interface Transfer {
  readonly bucket: PythonBucket;
  /** The rank that sends the bucket to the others. */
  readonly root: number;
}

/** Plans an update with the published Python tool. */
export function planPython(scenario: Scenario, { receivers }: Ranks): PlannedMethod {
  const { topology, method, worldSize, layout } = scenario;
  const metas = pythonShares(sizedTensors(scenario.model.tensors), worldSize, topology);
  const all = metas.flatMap(({ tensors }) => tensors);
  const isStaged = method !== 'python-p2p-first';
  const bucketBytes = bucketSize(
    scenario,
    all.reduce((most, { sizeBytes }) => Math.max(most, sizeBytes), 0),
    isStaged ? 3 : 2,
  );
  const buckets = pythonBuckets(metas, bucketBytes);
  const model = divideModel(all, layout);
  const kept = keptBytes(needsOf(model, layout, positionOf(layout, 0)));
  const share =
    kept /
    Math.max(
      1,
      all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    );
  const job = {
    transfers: transfersOf(scenario, buckets, receivers),
    group: { first: 0, count: receivers },
    share,
    method,
    layout,
    hasExperts: model.experts > 0,
  };
  const perHost = Math.min(worldSize, topology.gpusPerHost);
  return {
    figures: { buckets: buckets.length, bucketBytes, chunks: 0, reason: '' },
    memory: {
      deviceBytes: (isStaged ? 3 : 2) * bucketBytes,
      keptBytes: kept,
      hostBytes: metas.slice(0, perHost).reduce((sum, { regions }) => sum + (regions[0]?.sizeBytes ?? 0), 0),
    },
    buckets: job.transfers.map(({ bucket: { sizeBytes, tensorCount } }) => ({ sizeBytes, tensorCount })),
    shownRanks: Array.from({ length: Math.min(receivers, topology.gpusPerHost) }, (_, rank) => rank),
    warnings: [],
    build: (list, links, cluster) => addSteps(list, links, cluster, job),
  };
}

/** The rule of the Python tool: the requested size, not below the largest tensor, and not above the free memory. */
function bucketSize(
  { topology, bucketBytes = DEFAULT_BUCKET_BYTES }: Scenario,
  largestBytes: number,
  buffers: number,
): number {
  const freeBytes = Math.floor((topology.gpu.freeGB * 1e9 * 0.9) / buffers);
  return Math.max(largestBytes, Math.min(Math.max(bucketBytes, largestBytes), freeBytes));
}

function transfersOf(
  { method, topology, worldSize }: Scenario,
  buckets: readonly PythonBucket[],
  receivers: number,
): Transfer[] {
  if (method === 'python-broadcast') return buckets.map((bucket) => ({ bucket, root: bucket.ownerRank }));
  if (method === 'python-p2p-first') return buckets.map((bucket) => ({ bucket, root: 0 }));
  return assignReceiverRanks(
    buckets.map((bucket) => ({ ownerRank: bucket.ownerRank, bucket })),
    nicTopology(ranksUpTo(receivers), topology),
    nicTopology(ranksUpTo(worldSize), topology),
  ).map(({ bucket, receiverRank }) => ({ bucket, root: receiverRank }));
}

const ranksUpTo = (count: number): number[] => Array.from({ length: count }, (_, rank) => rank);

interface Job {
  readonly transfers: readonly Transfer[];
  readonly group: Group;
  readonly share: number;
  readonly layout: ParallelLayout;
  readonly hasExperts: boolean;
  readonly method: Scenario['method'];
}

/**
 * Adds the steps of the two-stage pipeline. In each round, every root copies its next bucket to its device. Then the
 * buckets of the round are broadcast one after another, while the worker loads the previous bucket. All ranks wait for
 * each other after each bucket. In `python-p2p-first` a round has one bucket.
 */
function addSteps(list: TaskList, links: ClusterLinks, topology: ClusterTopology, job: Job): void {
  const { transfers, group, share, method } = job;
  const { costs, gpu } = topology;
  const hosts = Math.ceil(group.count / topology.gpusPerHost);
  const broadcastMs = costs.broadcastMs + costs.hopMs * Math.log2(hosts);
  const barrierMs = costs.pythonBarrierMs + costs.pythonBarrierHopMs * Math.log2(hosts);
  const cost = workerCost(topology, job.layout, job.hasExperts);
  let free = list.add({ stage: 'meet', fixedMs: method === 'python-broadcast' ? 0 : costs.pythonGroupMs });
  let reload: Task | undefined;
  let index = 0;
  for (const round of roundsOf(transfers, method)) {
    const loads = round.map(({ bucket, root }, at) =>
      load(list, links, topology, { bucket, root, method, index: index + at }, free),
    );
    for (const { bucket, root } of round) {
      const { sizeBytes, tensorCount } = bucket;
      // The root copies from its own buffer into the shared one, unless it reads into the shared one.
      const copyMs = method === 'python-p2p-first' ? 0 : sizeBytes / (gpu.copyGBps * 1e6);
      const path = group.count === 1 ? undefined : broadcastPath(links, topology, group, root);
      const after = [free, ...loads];
      const sent = list.add({
        stage: 'broadcast',
        rank: root,
        index,
        sizeBytes,
        path,
        fixedMs: copyMs + broadcastMs,
        after,
      });
      free = list.add({ stage: 'barrier', index, fixedMs: barrierMs, after: [sent, reload] });
      const fixedMs = reloadMs(topology, cost, tensorCount, sizeBytes * share);
      reload = list.add({ stage: 'reload', rank: 0, index, sizeBytes, fixedMs, after: [free, reload] });
      index += 1;
    }
  }
  list.add({ stage: 'hook', fixedMs: costs.pythonFixedMs, after: [free, reload] });
}

interface Load extends Transfer {
  readonly method: Scenario['method'];
  readonly index: number;
}

function load(
  list: TaskList,
  links: ClusterLinks,
  topology: ClusterTopology,
  { bucket, root, method, index }: Load,
  free: Task,
): Task {
  const { sizeBytes, ownerRank } = bucket;
  const { host, gpu } = placeOf(root, topology);
  const owner = placeOf(ownerRank, topology);
  const after = [free];
  if (method === 'python-broadcast') {
    return list.add({ stage: 'h2d', rank: root, index, sizeBytes, path: links.hostToDevice(host, gpu), after });
  }
  const path = links.hostToRemoteDevice(owner.host, owner.gpu, host, gpu, 1);
  return list.add({ stage: 'read', rank: root, index, sizeBytes, path, fixedMs: topology.costs.readMs, after });
}

/** The first bucket of every root, then the second of every root, and so on. */
function roundsOf(transfers: readonly Transfer[], method: Scenario['method']): Transfer[][] {
  if (method === 'python-p2p-first') return transfers.map((transfer) => [transfer]);
  const rounds: Transfer[][] = [];
  const turns = new Map<number, number>();
  for (const transfer of transfers) {
    const turn = turns.get(transfer.root) ?? 0;
    turns.set(transfer.root, turn + 1);
    if (rounds[turn] === undefined) rounds[turn] = [];
    rounds[turn].push(transfer);
  }
  return rounds;
}
