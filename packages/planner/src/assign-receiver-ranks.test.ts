import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignReceiverRanks, type OwnedBucket, type Topology } from './assign-receiver-ranks.ts';

/** NICs with the given number of ranks each, numbered consecutively. */
function nics(prefix: string, count: number, ranksPerNic: number): Topology {
  return new Map(
    Array.from({ length: count }, (_, nic) => [
      `${prefix}${nic}`,
      new Set(Array.from({ length: ranksPerNic }, (_, i) => nic * ranksPerNic + i)),
    ]),
  );
}

/** Buckets 0, 1, ... of owners in turn. */
function bucketsOf(count: number, owners: number): OwnedBucket<number>[] {
  return Array.from({ length: count }, (_, bucket) => ({ ownerRank: bucket % owners, bucket }));
}

const assign = (buckets: OwnedBucket<number>[], local: Topology, remote: Topology): [number, number, number][] =>
  assignReceiverRanks(buckets, local, remote).map(({ receiverRank, ownerRank, bucket }) => [
    receiverRank,
    ownerRank,
    bucket,
  ]);

describe('assignReceiverRanks', () => {
  it('pairs each rank with its counterpart if both sides have one NIC per rank', () => {
    const expected = Array.from({ length: 80 }, (_, i) => [i % 8, i % 8, i]);
    expect(assign(bucketsOf(80, 8), nics('l', 8, 1), nics('r', 8, 1))).toEqual(expected);
  });

  it.each([80, 13])('uses as many receivers as owners have NICs, with two owners per NIC (%d buckets)', (count) => {
    const result = assign(bucketsOf(count, 8), nics('l', 8, 1), nics('r', 4, 2));
    for (const [receiver, owner] of result) expect(receiver).toBe(owner >> 1);
    expect(result.map(([, , bucket]) => bucket).sort((a, b) => a - b)).toEqual([...Array(count).keys()]);
    expect(result.slice(0, 8).map(([, owner]) => owner)).toEqual([0, 2, 4, 6, 1, 3, 5, 7]);
  });

  it.each([
    { localNics: 2, ranksPerNic: 4, count: 80 },
    { localNics: 4, ranksPerNic: 2, count: 13 },
  ])('receives with the lowest rank of each of $localNics NICs', ({ localNics, ranksPerNic, count }) => {
    const expected = Array.from({ length: count }, (_, i) => [(i % localNics) * ranksPerNic, i % 8, i]);
    expect(assign(bucketsOf(count, 8), nics('l', localNics, ranksPerNic), nics('r', 8, 1))).toEqual(expected);
  });

  it('lets three receivers go around four NICs', () => {
    // By NIC the queues are 0 1 8 9, 2 3 10 11, 4 5 12, and 6 7; a bucket's owner is its number modulo 8.
    const taken = [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 9, 11];
    const expected = taken.map((bucket, turn) => [turn % 3, bucket % 8, bucket]);
    expect(assign(bucketsOf(13, 8), nics('l', 3, 1), nics('r', 4, 2))).toEqual(expected);
  });

  it('begins a new round if the next NIC already serves in the current one', () => {
    const buckets = [0, 0, 0, 1].map((ownerRank, bucket) => ({ ownerRank, bucket }));
    expect(assign(buckets, nics('l', 2, 1), nics('r', 2, 1))).toEqual([
      [0, 0, 0],
      [1, 1, 3],
      [0, 0, 1],
      [0, 0, 2],
    ]);
  });

  it('takes NICs in the order of their first bucket, and receivers in the order of the local map', () => {
    const local = new Map([
      ['b', new Set([5, 3])],
      ['empty', new Set<number>()],
      ['a', new Set([9, 1])],
    ]);
    const buckets = [7, 2].map((ownerRank, bucket) => ({ ownerRank, bucket }));
    const remote = new Map([
      ['x', new Set([2])],
      ['y', new Set([7])],
    ]);
    expect(assign(buckets, local, remote)).toEqual([
      [3, 7, 0],
      [1, 2, 1],
    ]);
  });

  it('returns nothing for no buckets, for any topology', () => {
    expect(assignReceiverRanks([], new Map(), new Map())).toEqual([]);
  });

  it.each([
    { what: 'no local NIC', local: new Map<string, Set<number>>() },
    { what: 'local NICs without ranks', local: new Map([['l0', new Set<number>()]]) },
  ])('refuses buckets without a receiver: $what', ({ local }) => {
    expect(() => assignReceiverRanks(bucketsOf(1, 1), local, nics('r', 1, 1))).toThrow(
      expect.objectContaining({ code: 'CE_PLAN_NO_RECEIVER' }),
    );
  });

  it('names an owner that the remote topology does not have', () => {
    expect(() => assignReceiverRanks(bucketsOf(3, 3), nics('l', 1, 1), nics('r', 2, 1))).toThrow(
      expect.objectContaining({ code: 'CE_METAS_INVALID', peer: 2, message: expect.stringContaining('Rank 2') }),
    );
  });

  it('assigns every bucket once, to allowed receivers, with no NIC serving twice in a round', () => {
    const input = fc.record({
      owners: fc.array(fc.nat(15), { minLength: 1, maxLength: 60 }),
      localNics: fc.integer({ min: 1, max: 6 }),
      remoteNics: fc.constantFrom(1, 2, 4, 8, 16),
    });
    fc.assert(
      fc.property(input, ({ owners, localNics, remoteNics }) => {
        const local = nics('l', localNics, 2);
        const ranksPerNic = 16 / remoteNics;
        const buckets = owners.map((ownerRank, bucket) => ({ ownerRank, bucket }));
        const result = assignReceiverRanks(buckets, local, nics('r', remoteNics, ranksPerNic));
        const byBucket = result.toSorted((a, b) => a.bucket - b.bucket);
        expect(byBucket.map(({ ownerRank, bucket }) => ({ ownerRank, bucket }))).toEqual(buckets);

        const serving = new Set(owners.map((rank) => Math.floor(rank / ranksPerNic)));
        const receivers = [...local.values()].map((ranks) => Math.min(...ranks)).slice(0, serving.size);
        // Within a round receivers ascend, so a receiver that does not ascend opens the next one.
        let round = new Set<number>();
        let previous = Number.POSITIVE_INFINITY;
        for (const { receiverRank, ownerRank } of result) {
          expect(receivers).toContain(receiverRank);
          if (receiverRank <= previous) {
            expect(receiverRank).toBe(receivers[0]);
            round = new Set();
          }
          const nic = Math.floor(ownerRank / ranksPerNic);
          expect(round).not.toContain(nic);
          round.add(nic);
          previous = receiverRank;
        }
      }),
    );
  });
});
