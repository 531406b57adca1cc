import type { BroadcastGroup, Memory, SharedMemory } from '@checkpoint-engine/interface';
import type { Bucket } from '@checkpoint-engine/planner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ProgressEvent, Stage } from '../api.ts';
import { Ring } from '../sources/ring.ts';
import { MeasuredOrder } from './measured-order.ts';
import { runPipeline } from './pipeline.ts';
import { type StageOrder, threeStages, twoStages } from './stage-order.ts';

const SLOT = 256;
const memory = (slots: number): SharedMemory => ({
  kind: 'device',
  address: 1n,
  sizeBytes: slots * SLOT,
  handle: new Uint8Array(),
  close() {},
  [Symbol.dispose]() {},
});
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Setting {
  readonly roots: readonly number[];
  readonly ranks: number;
  readonly ringSlots: number;
  readonly stagingSlots: number;
  readonly delayMs: (stage: Stage, busy: ReadonlySet<Stage>) => number;
  readonly order: (options: {
    transfers: readonly { bucket: Bucket; root: number }[];
    rank: number;
    two: StageOrder;
  }) => StageOrder;
}

/** Runs a pipeline for every rank. A broadcast is done at all of them a while after the last one has called it. */
async function simulate({ roots, ranks, ringSlots, stagingSlots, delayMs, order }: Setting) {
  const transfers = roots.map((root, index) => ({
    root,
    bucket: { index, ownerRank: root, sizeBytes: SLOT, firstTensor: index, tensorCount: 1 },
  }));
  const meetings = roots.map(() => {
    let callers = 0;
    let meet!: () => void;
    const all = new Promise<void>((resolve) => {
      meet = resolve;
    });
    return { come: () => (++callers === ranks ? meet() : undefined), all };
  });
  const taken: number[][] = [];
  const together: Set<string> = new Set();
  const run = async (rank: number): Promise<void> => {
    const busy = new Map<Stage, number>();
    const mine: number[] = [];
    taken[rank] = mine;
    const own = roots.filter((root) => root === rank);
    const sizes = roots.map(() => SLOT);
    const ring = new Ring(memory(ringSlots), sizes);
    const staging =
      stagingSlots > 0
        ? new Ring<Memory>(
            memory(stagingSlots),
            own.map(() => SLOT),
          )
        : undefined;
    const ownIndices = roots.flatMap((root, index) => (root === rank ? [index] : []));
    const roomAfter = (turn: number): number =>
      staging === undefined ? ring.after(ownIndices[turn]!) : (ownIndices[staging.after(turn)] ?? -1);
    const delay = (stage: Stage): Promise<void> => sleep(delayMs(stage, new Set(busy.keys())));
    let turn = 0;
    const group: BroadcastGroup = {
      members: Array.from({ length: ranks }, (_, one) => one),
      async broadcast() {
        const meeting = meetings[turn++]!;
        meeting.come();
        await meeting.all;
        await delay('broadcast');
      },
      broadcastShared: () => Promise.reject(new Error('unused')),
      abort() {},
      close: async () => {},
    };
    const chosen = order({ transfers, rank, two: twoStages(transfers, rank, roomAfter) });
    const emit = (event: ProgressEvent): void => {
      chosen.observe?.(event);
      if (event.type !== 'bucket-start' && event.type !== 'bucket-end') return;
      const count = (busy.get(event.stage) ?? 0) + (event.type === 'bucket-start' ? 1 : -1);
      if (count > 0) busy.set(event.stage, count);
      else busy.delete(event.stage);
      together.add([...busy.keys()].sort().join('+'));
    };
    await runPipeline({
      transfers,
      rank,
      source: { ready: async () => {}, load: () => delay('h2d'), close: async () => {} },
      ring,
      sharesRing: false,
      staging,
      group,
      order: chosen,
      maxPendingBroadcasts: ringSlots,
      session: {
        address: 'test',
        maxPending: 1,
        open: async () => {},
        async reload({ index }) {
          await delay('reload');
          mine.push(index);
        },
        finish: async () => {},
        fail: async () => {},
        close: async () => {},
      },
      opened: Promise.resolve(),
      describe: (bucket) => ({ index: bucket.index, tensors: [] }),
      signal: new AbortController().signal,
      onFailure: () => {},
      emit,
    });
  };
  await Promise.all(Array.from({ length: ranks }, (_, rank) => run(rank)));
  return { taken, together };
}

const inTurns = (ranks: number, rounds: number): number[] =>
  Array.from({ length: ranks * rounds }, (_, index) => index % ranks);
const copiesBesideBroadcasts = (together: ReadonlySet<string>): string[] =>
  [...together].filter((stages) => stages.includes('broadcast') && stages.includes('h2d'));
const settings = {
  roots: fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 20 }),
  ranks: fc.constant(3),
  ringSlots: fc.integer({ min: 1, max: 4 }),
  stagingSlots: fc.integer({ min: 0, max: 3 }),
  delays: fc.infiniteStream(fc.integer({ min: 0, max: 2 })),
};

describe('twoStages', () => {
  it('never copies to the device while it broadcasts, and comes to an end, whatever the owners, rings and timing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(settings), async ({ delays, ...setting }) => {
        const delayMs = (): number => delays.next().value as number;
        const { taken, together } = await simulate({ ...setting, delayMs, order: ({ two }) => two });
        expect(copiesBesideBroadcasts(together)).toEqual([]);
        for (const mine of taken) expect(mine).toEqual(setting.roots.map((_, index) => index));
      }),
      { numRuns: 60 },
    );
  });

  it('lets all ranks copy at the same time at the start of a round, and reloads beside broadcasts', async () => {
    const transfers = inTurns(3, 3).map((root, index) => ({
      root,
      bucket: { index, ownerRank: root, sizeBytes: 1, firstTensor: 0, tensorCount: 1 },
    }));
    for (const rank of [0, 1, 2]) {
      const order = twoStages(transfers, rank, (turn) => (turn === 0 ? -1 : 3 * (turn - 1) + rank));
      expect([0, 1, 2].map((turn) => order.loadAfter(turn))).toEqual([-1, 2, 5]);
      expect(transfers.map((_, index) => order.broadcastAfter(index))).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }
    const setting = { roots: inTurns(3, 4), ranks: 3, ringSlots: 3, stagingSlots: 2, delayMs: () => 3 };
    const { together } = await simulate({ ...setting, order: ({ two }) => two });
    expect([...together]).toContain('broadcast+reload');
  });
});

describe('threeStages', () => {
  it('copies to the device while it broadcasts', async () => {
    const setting = { roots: inTurns(3, 4), ranks: 3, ringSlots: 3, stagingSlots: 2, delayMs: () => 3 };
    const { together } = await simulate({ ...setting, order: () => threeStages });
    expect(copiesBesideBroadcasts(together)).not.toEqual([]);
  });
});

describe('MeasuredOrder', () => {
  const measured = async (roots: readonly number[], delayMs: Setting['delayMs'], ranks = 3) => {
    const orders: MeasuredOrder[] = [];
    const found: (2 | 3)[] = [];
    await simulate({
      roots,
      ranks,
      ringSlots: 3,
      stagingSlots: 2,
      delayMs,
      order: ({ transfers, rank, two }) => {
        const order = new MeasuredOrder(transfers, two, (stages) => {
          if (rank !== 0) return;
          found.push(stages);
          for (const one of orders) one.choose(stages);
        });
        orders.push(order);
        return order;
      },
    });
    return found;
  };

  it('finds three stages faster where nothing disturbs the other', async () => {
    expect(await measured(inTurns(3, 14), (stage) => (stage === 'reload' ? 0 : 6))).toEqual([3]);
  });

  it('finds two stages faster where copies and broadcasts disturb each other', async () => {
    const slowBesideCopies: Setting['delayMs'] = (stage, busy) =>
      stage === 'reload' ? 0 : stage === 'broadcast' && busy.has('h2d') ? 40 : 4;
    expect(await measured(inTurns(3, 14), slowBesideCopies)).toEqual([2]);
  });

  it('measures nothing where there are too few rounds', async () => {
    expect(await measured(inTurns(3, 8), () => 1)).toEqual([]);
  });

  it('comes to an end whatever the owners, rings, timing and choice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ ...settings, roots: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 24, maxLength: 40 }) }),
        fc.constantFrom(2 as const, 3 as const),
        async ({ delays, ...setting }, choice) => {
          const { taken } = await simulate({
            ...setting,
            delayMs: () => delays.next().value as number,
            order: ({ transfers, two }) => {
              const order: MeasuredOrder = new MeasuredOrder(transfers, two, () => order.choose(choice));
              return order;
            },
          });
          for (const mine of taken) expect(mine).toHaveLength(setting.roots.length);
        },
      ),
      { numRuns: 40 },
    );
  });
});
