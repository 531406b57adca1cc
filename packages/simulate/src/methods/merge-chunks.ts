import type { ReadChunk } from '@checkpoint-engine/planner';

/** Maximum number of chunks that are simulated one by one, of all simulated hosts together. */
const MAX_CHUNKS = 1536;
/** With fewer chunks, the simulation would not show that reads and copies overlap. */
const MIN_CHUNKS_PER_HOST = 64;

/** A chunk with its place in the ring of its reader. */
export interface PlacedChunk extends ReadChunk {
  /** The last chunk of the same reader that must be free first, by its turn there; -1 for none. */
  readonly after: number;
  /** Bytes that each of `receivers` keeps. */
  readonly keptBytes: readonly number[];
}

/** One chunk, or several neighboring ones of a reader. */
export interface ChunkGroup {
  readonly readerRank: number;
  readonly chunks: number;
  readonly sizeBytes: number;
  /** Bytes by owner. */
  readonly owners: ReadonlyMap<number, number>;
  /** Bytes that each rank keeps, for ranks that keep any. */
  readonly kept: ReadonlyMap<number, number>;
  /** The last group of the same reader that must be free first, by its turn; -1 for none. */
  readonly after: number;
}

/**
 * Joins neighboring chunks of a reader if a simulation of each chunk would take minutes. The ring then holds
 * as many groups as it otherwise holds chunks, so the overlap of reads and copies does not change.
 *
 * @param hosts Number of simulated hosts.
 */
export function mergeChunks(chunks: readonly PlacedChunk[], groupsInRing: number, hosts: number): ChunkGroup[] {
  const most = Math.max(MIN_CHUNKS_PER_HOST, Math.floor(MAX_CHUNKS / hosts));
  const perGroup = Math.ceil(chunks.length / most);
  const groups: { readonly first: number; readonly turn: number; readonly members: PlacedChunk[] }[] = [];
  const open = new Map<number, (typeof groups)[number]>();
  for (const [index, chunk] of chunks.entries()) {
    const group = open.get(chunk.readerRank);
    if (group !== undefined && group.members.length < perGroup) {
      group.members.push(chunk);
      continue;
    }
    const next = { first: index, turn: group === undefined ? 0 : group.turn + 1, members: [chunk] };
    groups.push(next);
    open.set(chunk.readerRank, next);
  }
  return groups.map(({ turn, members }) => ({
    readerRank: members[0]!.readerRank,
    chunks: members.length,
    sizeBytes: members.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    owners: sums(members.map(({ ownerRank, sizeBytes }) => [ownerRank, sizeBytes])),
    kept: sums(
      members.flatMap(({ receivers, keptBytes }) => receivers.map((rank, at) => [rank, keptBytes[at]!] as const)),
    ),
    after: perGroup === 1 ? members[0]!.after : Math.max(-1, turn - groupsInRing),
  }));
}

function sums(entries: readonly (readonly [number, number])[]): Map<number, number> {
  const result = new Map<number, number>();
  for (const [key, value] of entries) result.set(key, (result.get(key) ?? 0) + value);
  return result;
}
