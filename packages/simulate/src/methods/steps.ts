import type { ParallelLayout } from '@checkpoint-engine/planner';
import type { ClusterLinks } from '../cluster/links.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import type { Path } from '../engine/link.ts';
import type { Task, TaskList } from '../engine/task.ts';

/** A rank and its place in the cluster. */
export interface RankPlace {
  readonly rank: number;
  readonly host: number;
  readonly gpu: number;
}

/** Ranks fill the hosts one after another. */
export function placeOf(rank: number, { gpusPerHost }: Pick<ClusterTopology, 'gpusPerHost'>): RankPlace {
  return { rank, host: Math.floor(rank / gpusPerHost), gpu: rank % gpusPerHost };
}

/** Ranks agree on the plan and send requests to the engines. */
export function beginUpdate(list: TaskList, { costs }: ClusterTopology, ranks: number, isFirst: boolean): Task {
  const fixedMs = costs.meetMs + costs.meetRankMs * ranks + (isFirst ? costs.firstMs : 0);
  const meet = list.add({ stage: 'meet', fixedMs });
  return list.add({ stage: 'handshake', fixedMs: costs.handshakeMs, after: [meet] });
}

/** Workers release the buffer, and engines do their work after loading. */
export function endUpdate(list: TaskList, { costs }: ClusterTopology, after: readonly (Task | undefined)[]): void {
  const release = list.add({ stage: 'release', fixedMs: costs.releaseMs, after });
  list.add({ stage: 'hook', fixedMs: costs.hookMs, after: [release] });
}

/** Members of a broadcast group: neighboring ranks from `first` on. */
export interface Group {
  readonly first: number;
  readonly count: number;
}

/**
 * The links of a broadcast on its group's first host, which represents all others: its GPUs form a ring, and
 * rings of several hosts use all NICs. GPUs receive from NICs through PCIe.
 */
export function broadcastPath(links: ClusterLinks, topology: ClusterTopology, group: Group, root: number): Path {
  const host = placeOf(group.first, topology).host;
  const hosts = Math.ceil(group.count / topology.gpusPerHost);
  const local = Math.min(group.count, topology.gpusPerHost);
  const path: [number, number][] = [];
  for (let gpu = 0; gpu < local; gpu++) {
    if (group.first + gpu !== root) path.push([...links.nvlink(host, gpu)]);
  }
  if (hosts > 1) {
    const isRootHost = placeOf(root, topology).host === host;
    const outWeight = isRootHost ? 1 : (hosts - 2) / (hosts - 1);
    if (!isRootHost) path.push(...links.acrossNics(host).map(([link, weight]): [number, number] => [link, weight]));
    if (outWeight > 0) {
      path.push(...links.nicOut(host, undefined).map(([link, weight]): [number, number] => [link, weight * outWeight]));
    }
  }
  return path;
}

/** Times of a worker for a model and a layout. */
export interface WorkerCost {
  readonly bucketMs: number;
  readonly tensorMs: number;
}

/** Times that a worker needs for a bucket and for each of its tensors. */
export function workerCost(
  { costs }: Pick<ClusterTopology, 'costs'>,
  { tp }: ParallelLayout,
  hasExperts: boolean,
): WorkerCost {
  return {
    bucketMs: costs.bucketMs + (hasExperts ? costs.bucketExpertsMs : 0),
    tensorMs: costs.tensorMs + (tp > 1 ? costs.sliceMs : 0),
  };
}

/** Time that a worker needs for a bucket, in addition to waiting for it. */
export function reloadMs({ gpu }: ClusterTopology, cost: WorkerCost, tensors: number, keptBytes: number): number {
  return cost.bucketMs + cost.tensorMs * tensors + keptBytes / (gpu.copyGBps * 1e6);
}
