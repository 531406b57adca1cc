import type { RankMetas } from '@checkpoint-engine/meta';
import {
  assignReceiverRanks,
  type Bucket,
  type BucketSizing,
  divideModel,
  needsOf,
  type ParallelLayout,
  type Plan,
  placeInRing,
  planBuckets,
  positionOf,
  sizeUpdate,
} from '@checkpoint-engine/planner';
import type { Ranks } from '../check-scenario.ts';
import type { ClusterLinks } from '../cluster/links.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import type { Task, TaskList } from '../engine/task.ts';
import { sizedTensors, worldMetas } from '../model/world-metas.ts';
import type { Scenario } from '../scenario.ts';
import { nicTopology } from './nic-topology.ts';
import { keptBytes, type PlannedMethod } from './planned.ts';
import { beginUpdate, broadcastPath, endUpdate, type Group, placeOf, reloadMs, workerCost } from './steps.ts';

/** A bucket, and the rank that sends it to the others. */
interface Transfer {
  readonly bucket: Bucket;
  readonly root: number;
}

/**
 * Plans an update in buckets, for the methods `broadcast` and `p2p`: the same sizes, buckets and order as those of the
 * parameter server.
 */
export function planBroadcast(scenario: Scenario, { receivers, firstReceiver }: Ranks): PlannedMethod {
  const { topology, worldSize, layout, source = 'memory', joining = 0 } = scenario;
  const metas = worldMetas(sizedTensors(scenario.model.tensors), worldSize, topology);
  const group: Group = { first: firstReceiver, count: receivers };
  const model = divideModel(
    metas.flatMap(({ tensors }) => tensors),
    layout,
  );
  const hasExperts = model.experts > 0;
  const sizing = sizeUpdate(metas, {
    hostAddressable: topology.device === 'host',
    freeBytes: topology.gpu.freeGB * 1e9,
    memberCount: receivers,
    bucketBytes: scenario.bucketBytes,
    maxBucketBytes: undefined,
    deviceMemoryBytes: scenario.deviceMemoryBytes,
    memFraction: undefined,
    reload: scenario.isFirstUpdate ? undefined : workerCost(topology, layout, hasExperts),
  });
  const plan = planBuckets(metas, sizing);
  const transfers = joining > 0 ? readTransfers(plan, metas, group, topology) : ownTransfers(plan);
  const kept = keptBytes(needsOf(model, layout, positionOf(layout, 0)));
  const share = kept / Math.max(1, plan.totalBytes);
  const perHost = Math.min(worldSize, topology.gpusPerHost);
  return {
    figures: { buckets: plan.buckets.length, bucketBytes: sizing.bucketBytes, chunks: 0, reason: sizing.reason },
    memory: {
      deviceBytes: sizing.deviceBytes,
      keptBytes: kept,
      hostBytes: metas.slice(0, perHost).reduce((sum, { regions }) => sum + (regions[0]?.sizeBytes ?? 0), 0),
    },
    buckets: transfers.map(({ bucket: { sizeBytes, tensorCount } }) => ({ sizeBytes, tensorCount })),
    shownRanks: Array.from({ length: Math.min(receivers, topology.gpusPerHost) }, (_, at) => group.first + at),
    warnings: [],
    build: (list, links, cluster) =>
      new BroadcastSteps(list, links, cluster, {
        sizing,
        transfers,
        group,
        share,
        source,
        layout,
        hasExperts,
        isFirst: scenario.isFirstUpdate ?? false,
      }).add(),
  };
}

const ownTransfers = ({ buckets }: Plan): Transfer[] => buckets.map((bucket) => ({ bucket, root: bucket.ownerRank }));

/** Joining ranks read buckets, and distribute the reads over the NICs of both sides. */
function readTransfers(
  { buckets }: Plan,
  metas: readonly RankMetas[],
  group: Group,
  topology: ClusterTopology,
): Transfer[] {
  const ranks = Array.from({ length: group.count }, (_, at) => group.first + at);
  const assigned = assignReceiverRanks(
    buckets.map((bucket) => ({ ownerRank: bucket.ownerRank, bucket })),
    nicTopology(ranks, topology),
    nicTopology(
      metas.map(({ rank }) => rank),
      topology,
    ),
  );
  return assigned.map(({ bucket, receiverRank }, index) => ({ bucket: { ...bucket, index }, root: receiverRank }));
}

interface Job {
  readonly sizing: BucketSizing;
  readonly transfers: readonly Transfer[];
  readonly group: Group;
  /** Part of a bucket that a worker keeps. */
  readonly share: number;
  readonly source: NonNullable<Scenario['source']>;
  readonly layout: ParallelLayout;
  readonly hasExperts: boolean;
  readonly isFirst: boolean;
}

/** Steps of the three stages: copies to the device, broadcasts, and reloads by the engine. */
class BroadcastSteps {
  readonly #list: TaskList;
  readonly #links: ClusterLinks;
  readonly #topology: ClusterTopology;
  readonly #job: Job;
  readonly #lastRead = new Map<number, Task>();
  readonly #lastCopy = new Map<number, Task>();

  constructor(list: TaskList, links: ClusterLinks, topology: ClusterTopology, job: Job) {
    this.#list = list;
    this.#links = links;
    this.#topology = topology;
    this.#job = job;
  }

  add(): void {
    const { transfers, group, sizing, share, layout, hasExperts } = this.#job;
    const cost = workerCost(this.#topology, layout, hasExperts);
    const { costs } = this.#topology;
    const begin = beginUpdate(this.#list, this.#topology, group.count, this.#job.isFirst);
    const sizes = transfers.map(({ bucket }) => bucket.sizeBytes);
    const ring = placeInRing(sizes, sizing.ringBytes);
    const staged = stagingPlaces(transfers, sizing.stagingBytes);
    const hosts = Math.ceil(group.count / this.#topology.gpusPerHost);
    const broadcastMs = costs.broadcastMs + costs.hopMs * Math.log2(hosts);
    const sent: Task[] = [];
    const reloads: Task[] = [];
    for (const [index, { bucket, root }] of transfers.entries()) {
      const { sizeBytes, tensorCount } = bucket;
      const before = ring[index]!.after;
      const free = before >= 0 ? reloads[before] : undefined;
      const stagedAfter = staged[index];
      const room = sizing.stagingBytes === 0 ? free : stagedAfter === undefined ? undefined : sent[stagedAfter];
      const copy = this.#copy(index, bucket, root, [begin, room]);
      // Ranks of a host that share the buffer have the bytes when the root has them.
      const isShared = this.#topology.device === 'host' && hosts === 1;
      const path = isShared ? undefined : broadcastPath(this.#links, this.#topology, group, root);
      const arrived =
        group.count === 1
          ? copy
          : this.#list.add({
              stage: 'broadcast',
              rank: root,
              index,
              sizeBytes,
              path,
              fixedMs: broadcastMs,
              after: [copy, free, sent.at(-1)],
            });
      sent.push(arrived);
      const fixedMs = reloadMs(this.#topology, cost, tensorCount, sizeBytes * share);
      reloads.push(
        this.#list.add({
          stage: 'reload',
          rank: group.first,
          index,
          fixedMs,
          sizeBytes,
          after: [arrived, reloads.at(-1)],
        }),
      );
    }
    endUpdate(this.#list, this.#topology, [begin, reloads.at(-1)]);
  }

  /**
   * Copies a bucket to the device of its root: from its memory, through its memory from files, or from another host.
   */
  #copy(index: number, { sizeBytes, ownerRank }: Bucket, root: number, after: readonly (Task | undefined)[]): Task {
    const { source } = this.#job;
    const { readMs } = this.#topology.costs;
    const { host, gpu } = placeOf(root, this.#topology);
    const owner = placeOf(ownerRank, this.#topology);
    const path =
      ownerRank !== root
        ? this.#links.hostToHost(owner.host, owner.gpu, host, gpu, 1)
        : source === 'memory'
          ? undefined
          : this.#links.fileToHost(host, gpu, source === 'shared-files');
    let read: Task | undefined;
    if (path !== undefined) {
      const [begin] = ownerRank === root ? [undefined] : after;
      read = this.#list.add({
        stage: 'read',
        rank: root,
        index,
        sizeBytes,
        path,
        fixedMs: readMs,
        after: [this.#lastRead.get(root), begin],
      });
      this.#lastRead.set(root, read);
    }
    const copy = this.#list.add({
      stage: 'h2d',
      rank: root,
      index,
      sizeBytes,
      path: this.#links.hostToDevice(host, gpu),
      after: [...after, read, this.#lastCopy.get(root)],
    });
    this.#lastCopy.set(root, copy);
    return copy;
  }
}

/** For each bucket, the bucket whose broadcast frees its place in its root's staging ring. */
function stagingPlaces(transfers: readonly Transfer[], stagingBytes: number): (number | undefined)[] {
  const after: (number | undefined)[] = transfers.map(() => undefined);
  if (stagingBytes === 0) return after;
  const own = new Map<number, number[]>();
  for (const [index, { root }] of transfers.entries()) {
    const list = own.get(root);
    if (list === undefined) own.set(root, [index]);
    else list.push(index);
  }
  for (const indices of own.values()) {
    const places = placeInRing(
      indices.map((index) => transfers[index]!.bucket.sizeBytes),
      stagingBytes,
    );
    for (const [turn, { after: before }] of places.entries()) {
      if (before >= 0) after[indices[turn]!] = indices[before]!;
    }
  }
  return after;
}
