import type { RankMetas } from '@checkpoint-engine/meta';
import { type Bucket, bucketLayout, planBuckets, type Transfer } from '@checkpoint-engine/planner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Proposal } from './agreement.ts';
import { describeBuckets } from './describe-buckets.ts';
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
    expect([...new Set(made.map(({ readerRank }) => readerRank))]).toEqual([0, 2]);
    expect(made.filter(({ readerRank }) => readerRank === 0)).toHaveLength(made.length / 2);
    for (let index = 0; index < made.length; index += 4) {
      expect(new Set(made.slice(index, index + 4).map(({ bucket }) => bucket.ownerRank)).size).toBe(4);
    }
  });

  it('lets members of the group send their own buckets, and reads the buckets of others', () => {
    const made = transfers({ isForeign: false, roles: { receivers: [1, 2], group: [1, 2], reads: true } });
    for (const { bucket, readerRank } of made) {
      if ([1, 2].includes(bucket.ownerRank)) expect(readerRank).toBe(bucket.ownerRank);
      else expect([1, 2]).toContain(readerRank);
    }
    expect(
      new Set(
        made
          .filter(({ bucket }) => bucket.ownerRank === 0 || bucket.ownerRank === 3)
          .map(({ readerRank }) => readerRank),
      ),
    ).toEqual(new Set([1, 2]));
  });

  it('without a group lets each receiver read everything, starting at different owners', () => {
    const first = [0, 1, 2, 3].map((rank) => {
      const made = transfers({ rank, roles: { receivers: [0, 1, 2, 3], group: [], reads: true } });
      expect(made.every(({ readerRank }) => readerRank === rank)).toBe(true);
      return nameOf(made[0]!.bucket);
    });
    expect(new Set(first).size).toBe(4);
  });
});

describe('a plan of whole buckets', () => {
  const dtype = 'U8' as const;
  const worlds = fc.record({
    sizes: fc.array(fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 12 }), { minLength: 1, maxLength: 4 }),
    bucketBytes: fc.integer({ min: 12, max: 16 }).map((power) => 2 ** power),
    way: fc.constantFrom('group', 'part', 'foreign', 'alone'),
  });
  const world = (sizes: readonly (readonly number[])[]): RankMetas[] =>
    sizes.map((own, rank) => {
      let endBytes = 0;
      const tensors = own.map((sizeBytes, at) => {
        const offsetBytes = endBytes;
        endBytes += Math.ceil(sizeBytes / 256) * 256;
        return { name: `${rank}.${at}`, dtype, shape: [sizeBytes], sizeBytes, region: 0, offsetBytes };
      });
      return { ...owner(rank, `n${rank}`), regions: [{ sizeBytes: endBytes }], tensors };
    });

  it('has the type of a pull: every tensor once, in ranges with places, for all receivers', () => {
    fc.assert(
      fc.property(worlds, ({ sizes, bucketBytes, way }) => {
        const all = world(sizes);
        const ranks = all.map(({ rank }) => rank);
        const whole = planBuckets(all, { bucketBytes });
        const roles = {
          group: { receivers: ranks, group: ranks, reads: false },
          part: { receivers: ranks.slice(-1), group: ranks.slice(-1), reads: true },
          foreign: { receivers: ranks, group: ranks, reads: true },
          alone: { receivers: ranks, group: [], reads: true },
        }[way];
        const isForeign = way === 'foreign';
        for (const rank of ranks) {
          const made: readonly Transfer[] = planTransfers({
            ...{ plan: whole, metas: all, isForeign, rank, roles },
            proposals: new Map(ranks.map((other) => [other, at('here', `n${other}`)])),
          });
          const tensors = all.flatMap((own) => own.tensors.map((tensor) => ({ ...tensor, owner: own.rank })));
          const seen = new Set<number>();
          for (const [index, transfer] of made.entries()) {
            expect(transfer.index).toBe(index);
            expect(transfer.receivers).toEqual(way === 'alone' ? [rank] : roles.receivers);
            if (way === 'group') expect(transfer.readerRank).toBe(transfer.ownerRank);
            let endBytes = 0;
            for (const [range, tensor] of transfer.tensor.entries()) {
              const { sizeBytes, owner: ownerRank } = tensors[tensor]!;
              expect(ownerRank).toBe(transfer.ownerRank);
              expect(seen.has(tensor)).toBe(false);
              seen.add(tensor);
              expect([transfer.tensorOffsetBytes[range], transfer.rangeBytes[range]]).toEqual([0, sizeBytes]);
              expect(transfer.offsetBytes[range]! % 256).toBe(0);
              expect(transfer.offsetBytes[range]).toBeGreaterThanOrEqual(endBytes);
              endBytes = transfer.offsetBytes[range]! + sizeBytes;
            }
            expect(transfer.sizeBytes).toBeGreaterThanOrEqual(endBytes);
          }
          expect(seen.size).toBe(tensors.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('reports tensors to workers at the places where the owner puts them', () => {
    fc.assert(
      fc.property(worlds, ({ sizes, bucketBytes }) => {
        const all = world(sizes);
        const whole = planBuckets(all, { bucketBytes });
        const ranks = all.map(({ rank }) => rank);
        const made = planTransfers({
          ...{ plan: whole, metas: all, isForeign: false, rank: 0 },
          roles: { receivers: ranks, group: ranks, reads: false },
          proposals: new Map(ranks.map((other) => [other, at('here', `n${other}`)])),
        });
        const describeOne = describeBuckets(all);
        for (const transfer of made) {
          const { bucket } = transfer;
          const { tensors } = bucketLayout(all[bucket.ownerRank]!, bucket, whole.alignBytes);
          const moved = tensors.map((tensor) => ({ ...tensor, offsetBytes: 512 + tensor.offsetBytes }));
          expect(describeOne(transfer, 512)).toEqual({ index: transfer.index, tensors: moved });
        }
        const [name] = all.flatMap((own) => own.tensors.map((tensor) => tensor.name));
        if (name === undefined) return;
        const only = describeBuckets(all, new Set([name]));
        expect(made.flatMap((transfer) => only(transfer, 0).tensors.map((tensor) => tensor.name))).toEqual([name]);
      }),
      { numRuns: 60 },
    );
  });
});
