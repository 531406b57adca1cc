import { divideModel } from '@checkpoint-engine/planner';
import type { Ranks } from '../check-scenario.ts';
import type { ClusterLinks } from '../cluster/links.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import type { Path } from '../engine/link.ts';
import type { Task, TaskList } from '../engine/task.ts';
import { sizedTensors, worldMetas } from '../model/world-metas.ts';
import type { Scenario } from '../scenario.ts';
import { hostClasses, OwnerFold } from './host-classes.ts';
import type { ChunkGroup } from './merge-chunks.ts';
import { type HeldTensors, type PullHost, planPullHost } from './plan-pull-hosts.ts';
import type { PlannedMethod } from './planned.ts';
import { beginUpdate, endUpdate } from './steps.ts';

/** Tables and counters of a worker that pulls. */
const WORKER_BYTES = 64 * 2 ** 20;

/** Plans an update in which each GPU copies the data that it keeps from its host's memory. */
export function planPullMethod(scenario: Scenario, ranks: Ranks): PlannedMethod {
  const { topology, worldSize, source = 'memory' } = scenario;
  const metas = worldMetas(sizedTensors(scenario.model.tensors), worldSize, topology);
  const classes = hostClasses(scenario, ranks);
  const held: HeldTensors = {
    hosts: classes.length,
    metas,
    model: divideModel(
      metas.flatMap(({ tensors }) => tensors),
      scenario.layout,
    ),
    holders: Int32Array.from(metas.flatMap(({ rank, tensors }) => tensors.map(() => rank))),
  };
  const hosts = classes.map((one) => planPullHost(scenario, ranks, held, one));
  const fold = new OwnerFold(scenario, ranks, classes);
  const poolBytes = metas.map(({ regions }) => regions[0]?.sizeBytes ?? 0);
  const isJoining = ranks.firstReceiver > 0;
  return {
    figures: {
      buckets: 0,
      bucketBytes: 0,
      chunks: hosts.reduce((sum, { chunkCount }) => sum + chunkCount, 0),
      reason: `${classes.length === 1 ? 'one host represents' : `${classes.length} hosts represent`} ${classes.reduce((sum, { count }) => sum + count, 0)}`,
    },
    memory: {
      deviceBytes: WORKER_BYTES,
      keptBytes: Math.max(...hosts.flatMap(({ keptBytes }) => keptBytes)),
      hostBytes: Math.max(
        ...hosts.map(
          ({ hostClass, ringBytes }) =>
            ringBytes + (isJoining ? 0 : hostClass.members.reduce((sum, { rank }) => sum + poolBytes[rank]!, 0)),
        ),
      ),
    },
    buckets: [],
    shownRanks: classes[0]!.members.map(({ rank }) => rank),
    warnings: [],
    build: (list, links, cluster) => {
      const begin = beginUpdate(list, cluster, ranks.receivers, scenario.isFirstUpdate ?? false);
      const ends = hosts.flatMap((host) => {
        const filled =
          source === 'memory' ? [] : fill(list, links, { host, poolBytes, shared: source === 'shared-files' });
        return pullSteps(list, links, cluster, { host, fold, after: [begin, ...filled] });
      });
      endUpdate(list, cluster, [begin, ...ends]);
    },
  };
}

interface Filling {
  readonly host: PullHost;
  readonly poolBytes: readonly number[];
  readonly shared: boolean;
}

/** Every member reads its share of the files into its pool. */
function fill(list: TaskList, links: ClusterLinks, { host: { hostClass }, poolBytes, shared }: Filling): Task[] {
  return hostClass.members.map(({ rank, host, gpu }) =>
    list.add({
      stage: 'read',
      rank,
      sizeBytes: poolBytes[rank]!,
      path: links.fileToHost(host, gpu, shared, hostClass.count),
    }),
  );
}

interface Pulling {
  readonly host: PullHost;
  readonly fold: OwnerFold;
  readonly after: readonly Task[];
}

/**
 * Every member first copies from the pools of its host. Meanwhile members read chunks of other hosts into their
 * rings; every member that keeps a part of a chunk copies it, in the order of the plan. @returns The last steps
 */
function pullSteps(
  list: TaskList,
  links: ClusterLinks,
  topology: ClusterTopology,
  { host, fold, after }: Pulling,
): (Task | undefined)[] {
  const { hostClass, groups, pooledBytes } = host;
  const { costs } = topology;
  const gpuOf = new Map(hostClass.members.map(({ rank, gpu }) => [rank, gpu]));
  const last = new Map<number, Task | undefined>();
  for (const [at, { rank, gpu }] of hostClass.members.entries()) {
    const path = links.hostToDevice(hostClass.host, gpu);
    const sizeBytes = pooledBytes[at]!;
    last.set(
      rank,
      sizeBytes === 0 ? undefined : list.add({ stage: 'pull', rank, sizeBytes, path, fixedMs: costs.chunkMs, after }),
    );
  }
  /** The copies out of each group of a reader, by turn. */
  const copies = new Map<number, Task[][]>();
  const freed = new Map<number, number>();
  for (const [index, group] of groups.entries()) {
    const { readerRank, sizeBytes } = group;
    const own = copies.get(readerRank) ?? [];
    copies.set(readerRank, own);
    const from = freed.get(readerRank) ?? 0;
    freed.set(readerRank, Math.max(from, group.after + 1));
    const path = readPath(links, group, host, fold, gpuOf.get(readerRank)!);
    const room = own.slice(from, group.after + 1).flat();
    const fixedMs = costs.readMs;
    const read = list.add({
      stage: 'read',
      rank: readerRank,
      index,
      sizeBytes,
      path,
      fixedMs,
      after: [...after, ...room],
    });
    own.push(
      [...group.kept].map(([rank, keptBytes]) => {
        const copy = list.add({
          stage: 'pull',
          rank,
          index,
          sizeBytes: keptBytes,
          path: links.hostToDevice(hostClass.host, gpuOf.get(rank)!),
          fixedMs: costs.chunkMs * group.chunks,
          after: [read, last.get(rank)],
        });
        last.set(rank, copy);
        return copy;
      }),
    );
  }
  return [...last.values()];
}

/** The links of a read; several owners share its load by their bytes. */
function readPath(
  links: ClusterLinks,
  { owners, sizeBytes }: ChunkGroup,
  { hostClass }: PullHost,
  fold: OwnerFold,
  gpu: number,
): Path {
  const weights = new Map<number, number>();
  for (const [rank, bytes] of owners) {
    const owner = fold.ownerOf(rank, hostClass);
    const part = bytes / sizeBytes;
    for (const [link, weight] of links.hostToHost(owner.host, owner.gpu, hostClass.host, gpu, owner.weight)) {
      weights.set(link, (weights.get(link) ?? 0) + weight * part);
    }
  }
  return [...weights];
}
