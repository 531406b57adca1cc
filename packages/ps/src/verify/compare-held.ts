import type { Mismatch } from '../digests/digest-mismatch.ts';
import type { HeldDigests } from '../pull-channel.ts';
import { bytesWithin, type CoverGroup } from './coverage.ts';
import type { HeldWindow } from './held-windows.ts';
import type { HostCover } from './host-cover.ts';

/** The result of one rank's comparison of what workers of a host hold. */
export interface HeldReport {
  readonly checkedBytes: number;
  readonly checkedTensors: readonly string[];
  readonly differing: readonly Mismatch[];
  /** Tensors that the rank's worker keeps and that could not be compared. */
  readonly unverified: readonly string[];
}

/**
 * Compares the answers of workers with the digests of the checkpoint. The first rank of each group compares it.
 *
 * @param rank    The rank that makes the report.
 * @param windows Windows of all ranks of the host.
 * @param answers By rank, its worker's answers for windows of tensors that it keeps, in order.
 */
export function compareHeld(
  rank: number,
  windows: readonly HeldWindow[],
  { boxes, groups }: HostCover,
  answers: ReadonlyMap<number, HeldDigests>,
): HeldReport {
  let checkedBytes = 0;
  const checked = new Set<string>();
  const unverified = new Set<string>();
  const differing: Mismatch[] = [];
  const next = new Map<number, number>();
  const at = new Map<number, number>();
  for (const { tensor, name, offsetBytes, sizeBytes, expected } of windows) {
    const byRank = boxes.get(tensor)!;
    for (const member of byRank.keys()) {
      const index = next.get(member) ?? 0;
      at.set(member, index);
      next.set(member, index + 1);
    }
    if (!byRank.has(rank)) continue;
    const group = groups.get(tensor)!.find(({ ranks }) => ranks.includes(rank));
    const isSaid = (member: number): boolean => {
      const said = answers.get(member)?.bytes[at.get(member)!];
      return said === bytesWithin(byRank.get(member)!, offsetBytes, offsetBytes + sizeBytes);
    };
    if (group === undefined || !group.ranks.every(isSaid)) {
      unverified.add(name);
      continue;
    }
    checked.add(name);
    checkedBytes += answers.get(rank)!.bytes[at.get(rank)!]!;
    if (group.ranks[0] !== rank) continue;
    const seen = sumOf(group, (member) => answers.get(member)!.digests[at.get(member)!]!);
    const wanted = BigInt.asUintN(64, expected * BigInt(group.times));
    if (seen === wanted) continue;
    const place = { rank, otherRanks: group.ranks.slice(1), tensor: name, offsetBytes, sizeBytes };
    differing.push({ ...place, expected: wanted, seen, leg: 'engine' });
  }
  return { checkedBytes, checkedTensors: [...checked], differing, unverified: [...unverified] };
}

function sumOf({ ranks }: CoverGroup, digestOf: (rank: number) => bigint): bigint {
  return BigInt.asUintN(
    64,
    ranks.reduce((sum, rank) => sum + digestOf(rank), 0n),
  );
}
