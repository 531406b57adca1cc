import type { RankMetas } from '@checkpoint-engine/meta';
import { type Bucket, planBuckets } from '@checkpoint-engine/planner';
import { describe, expect, it } from 'vitest';
import type { Proposal } from './agreement.ts';
import { planTransfers, type TransfersInput } from './transfers.ts';

const owner = (rank: number, nic: string): RankMetas => ({
  checkpoint: 'a',
  rank,
  host: 'owners',
  deviceUuid: `d${rank}`,
  nics: [nic],
  regions: [{ sizeBytes: 2048 }],
  tensors: Array.from({ length: 8 }, (_, index) => ({
    name: `${rank}.${index}`,
    dtype: 'U8' as const,
    shape: [256],
    sizeBytes: 256,
    region: 0,
    offsetBytes: index * 256,
  })),
});
const metas = [owner(0, 'a'), owner(1, 'b'), owner(2, 'c'), owner(3, 'd')];
const plan = planBuckets(metas, { bucketBytes: 256 });
const at = (host: string, nic: string): Proposal => ({ host, nics: [nic] }) as unknown as Proposal;
const proposals = new Map([0, 1, 2, 3].map((rank) => [rank, at('joiners', `n${rank >> 1}`)]));
const nameOf = ({ ownerRank, firstTensor }: Bucket): string => `${ownerRank}.${firstTensor}`;

function transfers(input: Partial<TransfersInput>) {
  return planTransfers({
    plan,
    metas,
    proposals,
    isForeign: true,
    rank: 0,
    roles: { receivers: [0, 1, 2, 3], group: [0, 1, 2, 3], reads: true },
    ...input,
  });
}

describe('planTransfers', () => {
  it('has every bucket once, numbered in their order', () => {
    for (const input of [{}, { isForeign: false }, { roles: { receivers: [0, 1], group: [], reads: true }, rank: 1 }]) {
      const made = transfers(input);
      expect(made.map(({ bucket }) => bucket.index)).toEqual(plan.buckets.map((_, index) => index));
      expect(made.map(({ bucket }) => nameOf(bucket)).sort()).toEqual(plan.buckets.map(nameOf).sort());
    }
  });

  it('lets the first rank of each NIC read, from different owners at a time, the same amount', () => {
    const made = transfers({});
    expect([...new Set(made.map(({ root }) => root))]).toEqual([0, 2]);
    expect(made.filter(({ root }) => root === 0)).toHaveLength(made.length / 2);
    for (let index = 0; index < made.length; index += 4) {
      expect(new Set(made.slice(index, index + 4).map(({ bucket }) => bucket.ownerRank)).size).toBe(4);
    }
  });

  it('lets members of the group send what they own, and reads what others own', () => {
    const made = transfers({ isForeign: false, roles: { receivers: [1, 2], group: [1, 2], reads: true } });
    for (const { bucket, root } of made) {
      if ([1, 2].includes(bucket.ownerRank)) expect(root).toBe(bucket.ownerRank);
      else expect([1, 2]).toContain(root);
    }
    expect(
      new Set(made.filter(({ bucket }) => bucket.ownerRank === 0 || bucket.ownerRank === 3).map(({ root }) => root)),
    ).toEqual(new Set([1, 2]));
  });

  it('without a group lets each receiver read all, beginning with another owner', () => {
    const first = [0, 1, 2, 3].map((rank) => {
      const made = transfers({ rank, roles: { receivers: [0, 1, 2, 3], group: [], reads: true } });
      expect(made.every(({ root }) => root === rank)).toBe(true);
      return nameOf(made[0]!.bucket);
    });
    expect(new Set(first).size).toBe(4);
  });
});
