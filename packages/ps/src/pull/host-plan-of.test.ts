import type { Needs } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { HostChunk } from '@checkpoint-engine/planner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostPlan } from '../update/host-plan.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import { type HostPlanInput, hostPlanOf } from './host-plan-of.ts';
import { setOf } from './tensor-set.ts';

type Box = readonly [tensor: number, offset: number, rows: number, rowBytes: number, gap: number];

/** The world of a property test: ranks on hosts with NICs, the tensors that they hold, and what their workers keep. */
interface TestWorld {
  readonly hostOf: readonly number[];
  readonly nicOf: readonly number[];
  /** Whether workers can map the tensors that the rank holds. */
  readonly isPooled: readonly boolean[];
  /** By tensor. */
  readonly sizes: readonly number[];
  readonly owners: readonly number[];
  /** By rank, as fractions of tensors. */
  readonly boxes: readonly (readonly Box[])[];
  /** By rank, tensors that arrive in buckets; absent for a worker that does not compare in parts. */
  readonly rest: readonly (readonly number[] | undefined)[];
  readonly bucketBytes: number | undefined;
}

const worlds: fc.Arbitrary<TestWorld> = fc
  .record({ ranks: fc.integer({ min: 1, max: 5 }), tensors: fc.integer({ min: 1, max: 7 }) })
  .chain(({ ranks, tensors }) => {
    const each = <T>(value: fc.Arbitrary<T>, count: number) => fc.array(value, { minLength: count, maxLength: count });
    const box = fc.tuple(
      ...([fc.nat(tensors - 1), fc.nat(3000), fc.integer({ min: 1, max: 6 })] as const),
      ...([fc.integer({ min: 1, max: 900 }), fc.constantFrom(0, 1, 500, 40_000)] as const),
    );
    return fc.record({
      hostOf: each(fc.nat(2), ranks),
      nicOf: each(fc.nat(2), ranks),
      isPooled: each(fc.boolean(), ranks),
      sizes: each(fc.integer({ min: 0, max: 9000 }), tensors),
      owners: each(fc.nat(ranks - 1), tensors),
      boxes: each(fc.array(box, { maxLength: 8 }), ranks),
      rest: each(fc.option(fc.uniqueArray(fc.nat(tensors - 1)), { nil: undefined }), ranks),
      bucketBytes: fc.constantFrom(undefined, 4096, 10_000),
    });
  });

/** The metas, and the index of each of the tensors of `sizes`: by name. */
function metasOf({ hostOf, nicOf, sizes, owners }: TestWorld): { metas: RankMetas[]; indexOf: number[] } {
  const order = [...sizes.keys()].sort((a, b) => owners[a]! - owners[b]! || a - b);
  const named = [...sizes.keys()].sort((a, b) => (`t${a}` < `t${b}` ? -1 : 1));
  const indexOf = sizes.map((_, tensor) => named.indexOf(tensor));
  const metas = hostOf.map((host, rank): RankMetas => {
    let endBytes = 0;
    const tensors = order
      .filter((tensor) => owners[tensor] === rank)
      .map((tensor) => {
        const offsetBytes = endBytes;
        endBytes += Math.ceil(sizes[tensor]! / 256) * 256;
        return {
          name: `t${tensor}`,
          dtype: 'U8',
          shape: [sizes[tensor]!],
          sizeBytes: sizes[tensor]!,
          region: 0,
          offsetBytes,
        } as const;
      });
    return {
      ...{ checkpoint: 'a', rank, host: `host-${host}`, deviceUuid: '', nics: [`nic-${nicOf[rank]}`] },
      ...{ regions: [{ sizeBytes: endBytes }], tensors },
    };
  });
  return { metas, indexOf };
}

/** Boxes that are inside of their tensors, by the indexes of the tensors. */
function needsOf({ sizes, boxes, rest }: TestWorld, indexOf: readonly number[], rank: number): Needs {
  const kept = boxes[rank]!.flatMap(([tensor, offset, rows, rowBytes, gap]) => {
    const pitch = rows === 1 ? rowBytes : rowBytes + gap;
    const isInside = offset + (rows - 1) * pitch + rowBytes <= sizes[tensor]!;
    return isInside && !rest[rank]?.includes(tensor)
      ? [{ tensor: indexOf[tensor]!, offset, rows, rowBytes, pitch }]
      : [];
  });
  return {
    tensor: Uint32Array.from(kept, (box) => box.tensor),
    offsetBytes: Float64Array.from(kept, (box) => box.offset),
    rows: Float64Array.from(kept, (box) => box.rows),
    rowBytes: Float64Array.from(kept, (box) => box.rowBytes),
    pitchBytes: Float64Array.from(kept, (box) => box.pitch),
    rest: Uint32Array.from(rest[rank] ?? [], (tensor) => indexOf[tensor]!),
  };
}

interface PlannedWorld {
  readonly metas: readonly RankMetas[];
  readonly needs: ReadonlyMap<number, Needs>;
  /** By rank, the plan of its host as that rank computes it. */
  readonly plans: readonly HostPlan[];
}

function planned(world: TestWorld): PlannedWorld {
  const { metas, indexOf } = metasOf(world);
  const needs = new Map(metas.map(({ rank }) => [rank, needsOf(world, indexOf, rank)]));
  const offers: HostPlanInput['offers'] = new Map(
    metas.map(({ rank }) => [
      rank,
      {
        handles: [world.isPooled[rank] ? new TextEncoder().encode(`pool-${rank}`) : null],
        hostMemoryBytes: null,
        provesParts: world.rest[rank] !== undefined,
        rest: setOf(needs.get(rank)!.rest, world.sizes.length),
      },
    ]),
  );
  const proposals = new Map(metas.map(({ rank, host, nics }) => [rank, { host, nics }]));
  const plans = metas.map(({ host }) => {
    const own = new Map([...needs].filter(([rank]) => metas[rank]!.host === host));
    const context = { metas, isForeign: false, host, metasDigest: 'digest' };
    return hostPlanOf({ context, proposals, offers, needs: own, bucketBytes: world.bucketBytes });
  });
  return { metas, needs, plans };
}

/** By byte (`tensor:offset`), the ranks that need it. */
function usersOf(needs: Iterable<readonly [number, Needs]>): Map<string, Set<number>> {
  const users = new Map<string, Set<number>>();
  for (const [rank, { tensor, offsetBytes, rows, rowBytes, pitchBytes }] of needs) {
    for (const [at, index] of tensor.entries()) {
      for (let row = 0; row < rows[at]!; row++) {
        for (let byte = 0; byte < rowBytes[at]!; byte++) {
          const key = `${index}:${offsetBytes[at]! + row * pitchBytes[at]! + byte}`;
          users.set(key, (users.get(key) ?? new Set()).add(rank));
        }
      }
    }
  }
  return users;
}

/** By byte, the number of chunks that contain it. */
function broughtBy(chunks: readonly HostChunk[]): Map<string, number> {
  const brought = new Map<string, number>();
  for (const { tensor, tensorOffsetBytes, rangeBytes } of chunks) {
    for (const [at, index] of tensor.entries()) {
      for (let byte = 0; byte < rangeBytes[at]!; byte++) {
        const key = `${index}:${tensorOffsetBytes[at]! + byte}`;
        brought.set(key, (brought.get(key) ?? 0) + 1);
      }
    }
  }
  return brought;
}

const tensorOf = (key: string): number => Number(key.split(':')[0]);

describe('hostPlanOf', () => {
  it('copies every needed byte to each host once, from a pool or through a ring', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const { metas, needs, plans } = planned(world);
        const list = tensorsByName(metas);
        const holders = list.metas.map((meta, index) => ({ ...meta, holder: list.holders[index]! }));
        for (const { rank, host } of metas) {
          const { ownerOf, places, pools, chunks } = plans[rank]!;
          const users = usersOf([...needs].filter(([other]) => metas[other]!.host === host));
          const brought = broughtBy(chunks);
          for (const [key, count] of brought) if (count > 1) throw new Error(`byte ${key} comes ${count} times`);
          for (const key of users.keys()) {
            const isPooled = ownerOf[tensorOf(key)] === -1;
            if (isPooled === brought.has(key)) throw new Error(`byte ${key} is ${isPooled ? 'doubled' : 'lost'}`);
          }
          // Only pools of this host are used, and a tensor is at the place where its owner has it.
          for (const [at, index] of places.tensor.entries()) {
            const { holder, offsetBytes, sizeBytes } = holders[index]!;
            const pool = pools[places.region[at]!]!;
            expect(holder.host).toBe(host);
            expect(new TextDecoder().decode(pool.handle)).toBe(`pool-${holder.rank}`);
            expect([places.offsetBytes[at], places.sizeBytes[at], ownerOf[index]]).toEqual([
              offsetBytes,
              sizeBytes,
              -1,
            ]);
          }
          for (const [index, { holder }] of holders.entries()) {
            const isPooled = holder.host === host && world.isPooled[holder.rank] === true;
            expect(ownerOf[index]).toBe(isPooled ? -1 : holder.rank);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it('copies nothing that no rank of the host needs, except gaps of at most 32 KiB between rows', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const { metas, needs, plans } = planned(world);
        for (const { rank, host } of metas) {
          const allowed = new Set<string>();
          for (const [other, { tensor, offsetBytes, rows, rowBytes, pitchBytes }] of needs) {
            if (metas[other]!.host !== host) continue;
            for (const [at, index] of tensor.entries()) {
              const hasGaps = pitchBytes[at]! - rowBytes[at]! <= 32 * 1024;
              for (let row = 0; row < rows[at]!; row++) {
                const isLast = row === rows[at]! - 1;
                const bytes = hasGaps && !isLast ? pitchBytes[at]! : rowBytes[at]!;
                for (let byte = 0; byte < bytes; byte++) {
                  allowed.add(`${index}:${offsetBytes[at]! + row * pitchBytes[at]! + byte}`);
                }
              }
            }
          }
          for (const key of broughtBy(plans[rank]!.chunks).keys()) {
            if (!allowed.has(key)) throw new Error(`no rank of host ${host} needs byte ${key}`);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it('has one rank per host read each chunk, for all ranks that need it, into a free place', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const { metas, needs, plans } = planned(world);
        for (const { rank, host } of metas) {
          const { chunks, proof, ringBytes } = plans[rank]!;
          const members = metas.filter((other) => other.host === host).map((other) => other.rank);
          const users = usersOf([...needs].filter(([other]) => members.includes(other)));
          const nics = new Set(members.map((member) => world.nicOf[member]));
          const remoteReaders = new Set<number>();
          for (const chunk of [...chunks, ...proof]) {
            expect(members).toContain(chunk.readerRank);
            if (members.includes(chunk.ownerRank)) expect(chunk.readerRank).toBe(chunk.ownerRank);
            else remoteReaders.add(chunk.readerRank);
            expect(members).toEqual(expect.arrayContaining([...chunk.receivers]));
            expect(chunk.place.offsetBytes + chunk.sizeBytes).toBeLessThanOrEqual(ringBytes.get(chunk.readerRank)!);
          }
          // One rank for each NIC reads from other hosts.
          expect(remoteReaders.size).toBeLessThanOrEqual(nics.size);
          for (const chunk of chunks) {
            const wanted = new Set<number>();
            for (const key of broughtBy([chunk]).keys()) for (const user of users.get(key) ?? []) wanted.add(user);
            expect(chunk.receivers).toEqual(expect.arrayContaining([...wanted]));
          }
          for (const list of [chunks, proof]) {
            for (const reader of ringBytes.keys())
              expectFreePlaces(list.filter(({ readerRank }) => readerRank === reader));
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it('copies what workers compare completely and once, unless it is in a pool', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const { metas, needs, plans } = planned(world);
        const sizes = tensorsByName(metas).sizesBytes;
        for (const { rank, host } of metas) {
          const { proof, ownerOf, chunks } = plans[rank]!;
          const compared = new Set<number>();
          for (const [other, { rest }] of needs) {
            if (metas[other]!.host !== host || world.rest[other] === undefined) continue;
            for (const index of rest) if (ownerOf[index] !== -1) compared.add(index);
          }
          const brought = broughtBy(proof);
          const bytes = [...compared].reduce((sum, index) => sum + sizes[index]!, 0);
          expect(brought.size).toBe(bytes);
          for (const [key, count] of brought) {
            if (count !== 1 || !compared.has(tensorOf(key))) throw new Error(`byte ${key} is compared ${count} times`);
          }
          for (const [at, { index }] of [...chunks, ...proof].sort((a, b) => a.index - b.index).entries()) {
            expect(index).toBe(at);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it('is the same on all ranks of a host', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const { metas, plans } = planned(world);
        for (const { rank, host } of metas) {
          const other = metas.findIndex((meta) => meta.host === host);
          expect(plans[rank]).toEqual(plans[other]);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('distributes reads of other hosts over the NICs of both sides', () => {
    const tensors = 64;
    const world: TestWorld = {
      hostOf: [0, 0, 1, 1],
      nicOf: [0, 1, 0, 1],
      isPooled: [true, true, true, true],
      sizes: Array(tensors).fill(8192),
      owners: Array.from({ length: tensors }, (_, at) => 2 + (at % 2)),
      boxes: [Array.from({ length: tensors }, (_, at): Box => [at, 0, 1, 8192, 0]), [], [], []],
      rest: [undefined, undefined, undefined, undefined],
      bucketBytes: 8192,
    };
    const { chunks } = planned(world).plans[0]!;
    const bytesOf = (by: 'readerRank' | 'ownerRank', rank: number) =>
      chunks.reduce((sum, chunk) => sum + (chunk[by] === rank ? chunk.sizeBytes : 0), 0);
    expect([bytesOf('readerRank', 0), bytesOf('readerRank', 1)]).toEqual([32 * 8192, 32 * 8192]);
    // Two reads that follow each other are from different NICs, into different NICs.
    for (let at = 0; at + 1 < chunks.length; at += 2) {
      expect(new Set([chunks[at]!.ownerRank, chunks[at + 1]!.ownerRank]).size).toBe(2);
      expect(new Set([chunks[at]!.readerRank, chunks[at + 1]!.readerRank]).size).toBe(2);
    }
  });
});

/** A chunk overwrites only chunks up to its `after`. */
function expectFreePlaces(chunks: readonly HostChunk[]): void {
  for (const [turn, { place, sizeBytes }] of chunks.entries()) {
    for (const [earlier, other] of chunks.slice(0, turn).entries()) {
      const overlaps =
        place.offsetBytes < other.place.offsetBytes + other.sizeBytes &&
        other.place.offsetBytes < place.offsetBytes + sizeBytes;
      if (overlaps) expect(earlier).toBeLessThanOrEqual(place.after);
    }
    expect(place.after).toBeLessThan(turn);
  }
}
