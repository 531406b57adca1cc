import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Maps each NIC (its address) to the ranks that use it. */
export type Topology = ReadonlyMap<string, ReadonlySet<number>>;

/** A bucket and the rank that owns it. */
export interface OwnedBucket<T> {
  readonly ownerRank: number;
  readonly bucket: T;
}

/** A bucket and the rank that reads it from its owner. */
export interface ReceivedBucket<T> extends OwnedBucket<T> {
  readonly receiverRank: number;
}

/**
 * Decides which joining rank reads which bucket from its owner's pool, so that NICs on both sides work at the same
 * time.
 *
 * - Buckets are taken round-robin over the NICs of their owners, NICs in the order in which `buckets` first needs them.
 * - Receivers are the lowest rank of each local NIC, in the order of the map; at most as many as there are owners'
 *   NICs. Local NICs without ranks do not count.
 * - Assignment proceeds in rounds: each receiver in turn takes the next bucket. If that bucket's NIC already serves a
 *   bucket in the round, the next round begins.
 *
 * A rank that `remoteTopology` lists under several NICs counts for the last of them. Equal input gives equal output.
 *
 * @returns One entry per bucket, in the order of assignment.
 * @throws {CheckpointEngineError} `CE_PLAN_NO_RECEIVER` when there are buckets but no local rank to read them;
 *   `CE_METAS_INVALID` when an owner has no NIC in `remoteTopology`.
 * @example
 * ```ts
 * assignReceiverRanks([{ ownerRank: 0, bucket: 'a' }], new Map([['nic0', new Set([8, 9])]]), new Map([['nic7', new
 * Set([0])]])); // [{ receiverRank: 8, ownerRank: 0, bucket: 'a' }]
 * ```
 */
export function assignReceiverRanks<T>(
  buckets: readonly OwnedBucket<T>[],
  localTopology: Topology,
  remoteTopology: Topology,
): ReceivedBucket<T>[] {
  if (buckets.length === 0) return [];
  const queues = queuesByNic(buckets, remoteTopology);
  const receivers = receiverRanks(localTopology).slice(0, queues.size);
  if (receivers.length === 0) throw noReceiverError(buckets.length, localTopology);

  const assigned: ReceivedBucket<T>[] = [];
  let serving = new Set<string>();
  for (const { nic, ownerRank, bucket } of roundRobin(queues)) {
    if (serving.size === receivers.length || serving.has(nic)) serving = new Set();
    const receiverRank = receivers[serving.size]!;
    serving.add(nic);
    assigned.push({ receiverRank, ownerRank, bucket });
  }
  return assigned;
}

/** The queue of buckets of each owner's NIC. */
function queuesByNic<T>(buckets: readonly OwnedBucket<T>[], remoteTopology: Topology): Map<string, OwnedBucket<T>[]> {
  const nicOfRank = new Map<number, string>();
  for (const [nic, ranks] of remoteTopology) for (const rank of ranks) nicOfRank.set(rank, nic);

  const queues = new Map<string, OwnedBucket<T>[]>();
  for (const bucket of buckets) {
    const nic = nicOfRank.get(bucket.ownerRank);
    if (nic === undefined) throw ownerWithoutNicError(bucket.ownerRank, remoteTopology);
    const queue = queues.get(nic);
    if (queue) queue.push(bucket);
    else queues.set(nic, [bucket]);
  }
  return queues;
}

function receiverRanks(localTopology: Topology): number[] {
  return [...localTopology.values()].filter((ranks) => ranks.size > 0).map((ranks) => Math.min(...ranks));
}

/** The first bucket of every queue, then the second of every queue, and so on. */
function* roundRobin<T>(queues: ReadonlyMap<string, readonly T[]>): Generator<T & { readonly nic: string }> {
  const longest = Math.max(...[...queues.values()].map((queue) => queue.length));
  for (let turn = 0; turn < longest; turn++) {
    for (const [nic, queue] of queues) {
      const item = queue[turn];
      if (item !== undefined) yield { nic, ...item };
    }
  }
}

function noReceiverError(bucketCount: number, localTopology: Topology): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_PLAN_NO_RECEIVER',
    `No rank here can read the ${bucketCount} buckets: ${localTopology.size} local NICs with 0 receiving ranks, expected at least 1`,
    'Let at least one rank of this host take part (--ranks), and check that its NIC is found (checkpoint-engine doctor)',
  );
}

function ownerWithoutNicError(rank: number, remoteTopology: Topology): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_METAS_INVALID',
    `Rank ${rank} owns buckets but is not under any of the ${remoteTopology.size} NICs of the remote topology`,
    'Save the metas again on the serving ranks with a P2P transport, so that they include the NIC of every owner',
    { peer: rank },
  );
}
