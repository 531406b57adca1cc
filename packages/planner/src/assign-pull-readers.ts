import { assignReceiverRanks, type Topology } from './assign-receiver-ranks.ts';
import type { PullChunk } from './plan-pull.ts';
import type { Transfer } from './transfer.ts';

/** A transfer of a pull, before all transfers of the host have their order. Plain data. */
export type ReadChunk = Omit<Transfer, 'index'>;

/** Input of {@link assignPullReaders}. */
export interface PullReaders {
  /** Ranks of the host that own chunks themselves; each reads its own chunks. */
  readonly local: ReadonlySet<number>;
  /** NICs of the host. */
  readonly localTopology: Topology;
  /** NICs of the owners on other hosts. */
  readonly remoteTopology: Topology;
}

/**
 * Decides which rank of a host reads which chunk: the owner if it is on this host, otherwise the ranks in turn, so that
 * NICs on both sides work at the same time.
 *
 * @returns The chunks in the order in which the ranks must read them. Readers alternate, so that all of them are busy.
 * @throws `CE_PLAN_NO_RECEIVER`, `CE_METAS_INVALID`
 */
export function assignPullReaders(chunks: readonly PullChunk[], readers: PullReaders): ReadChunk[] {
  const remote = chunks.filter(({ ownerRank }) => !readers.local.has(ownerRank));
  const assigned = assignReceiverRanks(
    remote.map((chunk) => ({ ownerRank: chunk.ownerRank, bucket: chunk })),
    readers.localTopology,
    readers.remoteTopology,
  );
  const queues = new Map<number, ReadChunk[]>();
  const add = (readerRank: number, chunk: PullChunk): void => {
    const queue = queues.get(readerRank) ?? [];
    queues.set(readerRank, queue);
    queue.push({ ...chunk, readerRank });
  };
  for (const chunk of chunks) if (readers.local.has(chunk.ownerRank)) add(chunk.ownerRank, chunk);
  for (const { bucket, receiverRank } of assigned) add(receiverRank, bucket);
  const ordered = [...queues.entries()].sort(([a], [b]) => a - b).map(([, queue]) => queue);
  const longest = Math.max(0, ...ordered.map(({ length }) => length));
  return Array.from({ length: longest }, (_, turn) => ordered.flatMap((queue) => queue[turn] ?? [])).flat();
}
