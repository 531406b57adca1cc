import type { BroadcastBuffers, BroadcastGroup, MemoryRange, SharedMemory } from '@checkpoint-engine/interface';
import type { Bucket } from '@checkpoint-engine/planner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketTransfer } from '../../test/support/bucket-transfer.ts';
import type { ProgressEvent } from '../progress-event.ts';
import type { BucketMessage, WorkerSession } from '../session.ts';
import { Ring } from '../sources/ring.ts';
import { type PipelineJob, runPipeline } from './pipeline.ts';

const SLOT = 256;
const memory = (sizeBytes: number): SharedMemory => ({
  kind: 'device',
  address: 1n,
  sizeBytes,
  handle: new Uint8Array(),
  close() {},
  [Symbol.dispose]() {},
});
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The content of slots: a bucket that arrives while another one is still in the slot is a violation. */
class Occupancy {
  readonly violations: string[] = [];
  #held: { memory: object; from: number; to: number; bucket: number }[] = [];

  enter({ memory, offsetBytes: from, sizeBytes }: MemoryRange, bucket: number): void {
    const to = from + sizeBytes;
    const other = this.#held.find((held) => held.memory === memory && held.from < to && from < held.to);
    if (other !== undefined) this.violations.push(`bucket ${bucket} came while ${other.bucket} was there`);
    this.#held.push({ memory, from, to, bucket });
  }

  leave(memory: object, bucket: number): void {
    const before = this.#held.length;
    this.#held = this.#held.filter((held) => held.memory !== memory || held.bucket !== bucket);
    if (this.#held.length !== before - 1) this.violations.push(`bucket ${bucket} left a slot that it was not in`);
  }
}

interface Setting {
  readonly roots: readonly number[];
  /** Bytes of each bucket. @default one slot */
  readonly sizes?: readonly number[];
  readonly ringSlots: number;
  readonly stagingSlots: number;
  readonly maxPending: number;
  readonly maxPendingBroadcasts: number;
  readonly delayMs: () => number;
  readonly failAt?: { readonly stage: string; readonly bucket: number };
  readonly check?: PipelineJob['check'];
}

function simulate(setting: Setting) {
  const { roots, ringSlots, stagingSlots, delayMs } = setting;
  const sizes = setting.sizes ?? roots.map(() => SLOT);
  const slot = Math.max(SLOT, ...sizes.map((size) => Math.ceil(size / 256) * 256));
  const occupancy = new Occupancy();
  const events: ProgressEvent[] = [];
  const taken: number[] = [];
  const controller = new AbortController();
  const buckets: Bucket[] = roots.map((ownerRank, index) => ({
    index,
    ownerRank,
    sizeBytes: sizes[index]!,
    firstTensor: index,
    tensorCount: 1,
  }));
  const ring = new Ring(memory(ringSlots * slot), sizes);
  const own = sizes.filter((_, index) => roots[index] === 0);
  const staging = stagingSlots > 0 ? new Ring(memory(stagingSlots * slot), own) : undefined;
  const step = async (stage: string, bucket: number): Promise<void> => {
    await sleep(delayMs());
    if (setting.failAt?.stage === stage && setting.failAt.bucket === bucket)
      throw new Error(`${stage} ${bucket} failed`);
  };
  let turn = 0;
  const isMultiRank = new Set([0, ...roots]).size > 1;
  const group: BroadcastGroup | undefined = isMultiRank
    ? {
        members: [0, 1],
        async broadcast(root: number, { target, source }: BroadcastBuffers) {
          const bucket = turn++;
          // In place, the root has owned the slot since the load.
          if (root !== 0 || source !== undefined) occupancy.enter(target, bucket);
          await step('broadcast', bucket);
          if (source !== undefined) occupancy.leave(source.memory, bucket);
        },
        broadcastShared: () => Promise.reject(new Error('unused')),
        abort() {},
        close: async () => {},
      }
    : undefined;
  const session: WorkerSession = {
    address: 'test',
    maxPending: setting.maxPending,
    open: async () => {},
    async reload(message: BucketMessage) {
      await step('reload', message.index);
      taken.push(message.index);
      occupancy.leave(ring.memory, message.index);
    },
    finish: async () => {},
    fail: async () => {},
    close: async () => {},
  };
  const job: PipelineJob = {
    transfers: buckets.map(bucketTransfer),
    rank: 0,
    source: {
      ready: () => step('read', -1),
      close: async () => {},
      async load(bucket, target) {
        occupancy.enter(target, bucket.index);
        await step('h2d', bucket.index);
      },
    },
    ring,
    sharesRing: false,
    staging,
    group,
    maxPendingBroadcasts: setting.maxPendingBroadcasts,
    session,
    opened: sleep(1),
    check: setting.check,
    describe: ({ index }, offsetBytes) => ({
      index,
      tensors: [{ name: 't', dtype: 'U8', shape: [SLOT], offsetBytes, sizeBytes: SLOT }],
    }),
    signal: controller.signal,
    onFailure: (error) => controller.abort(error),
    emit: (event) => events.push(event),
  };
  return { run: runPipeline(job), occupancy, events, taken, controller };
}

/** Maximum number of buckets that were in any of the stages at the same time. */
function deepestOverlap(events: readonly ProgressEvent[]): number {
  const open = new Set<number>();
  let deepest = 0;
  for (const event of events) {
    if (event.type === 'bucket-start') open.add(event.bucket);
    if (event.type === 'bucket-end') open.delete(event.bucket);
    deepest = Math.max(deepest, open.size);
  }
  return deepest;
}

describe('runPipeline', () => {
  it('never writes to a bucket that is in use, and delivers every bucket once, for any timing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          buckets: fc.array(fc.record({ root: fc.constantFrom(0, 1), size: fc.integer({ min: 1, max: 5 * SLOT }) }), {
            maxLength: 14,
          }),
          ringSlots: fc.integer({ min: 1, max: 4 }),
          stagingSlots: fc.integer({ min: 0, max: 2 }),
          maxPending: fc.integer({ min: 1, max: 4 }),
          maxPendingBroadcasts: fc.integer({ min: 1, max: 4 }),
          delays: fc.infiniteStream(fc.integer({ min: 0, max: 3 })),
        }),
        async ({ delays, buckets, ...setting }) => {
          const roots = buckets.map(({ root }) => root);
          const multi = roots.includes(1);
          const { run, occupancy, taken } = simulate({
            ...setting,
            roots,
            sizes: buckets.map(({ size }) => size),
            stagingSlots: multi ? setting.stagingSlots : 0,
            delayMs: () => delays.next().value as number,
          });
          await run;
          expect(occupancy.violations).toEqual([]);
          expect([...taken].sort((a, b) => a - b)).toEqual(roots.map((_, index) => index));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('runs the three stages of different buckets at the same time', async () => {
    const roots = [0, 1, 0, 1, 0, 1, 0, 1];
    const { run, events } = simulate({
      roots,
      ringSlots: 3,
      stagingSlots: 2,
      maxPending: 1,
      maxPendingBroadcasts: 1,
      delayMs: () => 5,
    });
    await run;
    expect(deepestOverlap(events)).toBeGreaterThanOrEqual(3);
  });

  it('is serial with one slot', async () => {
    const { run, events } = simulate({
      roots: [0, 0, 0],
      ringSlots: 1,
      stagingSlots: 0,
      maxPending: 1,
      maxPendingBroadcasts: 1,
      delayMs: () => 1,
    });
    await run;
    expect(deepestOverlap(events)).toBe(1);
  });

  it.each(['h2d', 'broadcast', 'reload'])('rejects with the failure of a %s step', async (stage) => {
    const { run } = simulate({
      roots: [0, 1, 0, 1, 0, 1],
      ringSlots: 2,
      stagingSlots: 1,
      maxPending: 1,
      maxPendingBroadcasts: 2,
      delayMs: () => 1,
      failAt: { stage, bucket: 2 },
    });
    await expect(run).rejects.toThrow(`${stage} 2 failed`);
  });

  describe('with a comparison', () => {
    const one = { ringSlots: 1, stagingSlots: 0, maxPending: 1, maxPendingBroadcasts: 1, delayMs: () => 1 };

    it('passes a bucket on once it has been read, and ends with the comparison', async () => {
      const compared: number[] = [];
      const { run, taken } = simulate({
        ...one,
        roots: [0, 0],
        check: async ({ bucket }, _range, onRead) => {
          onRead();
          while (taken.length < 2) await sleep(1);
          await sleep(5);
          compared.push(bucket.index);
        },
      });
      await run;
      expect(compared).toEqual([0, 1]);
    });

    it('does not pass on a bucket that has not been read', async () => {
      const { run, taken } = simulate({
        ...one,
        roots: [0],
        check: async () => {
          await sleep(10);
          expect(taken).toEqual([]);
        },
      });
      await run;
      expect(taken).toEqual([0]);
    });

    it.each([
      ['before', false],
      ['after', true],
    ])('rejects with a difference that is found %s the worker may take the bucket', async (_, isRead) => {
      const { run } = simulate({
        ...one,
        roots: [0, 0, 0],
        check: async ({ bucket }, _range, onRead) => {
          if (isRead || bucket.index < 2) onRead();
          await sleep(10);
          if (bucket.index === 2) throw new Error('a difference');
        },
      });
      await expect(run).rejects.toThrow('a difference');
    });
  });

  it('rejects with the reason of its signal when that fires during the update', async () => {
    const { run, controller } = simulate({
      roots: [0, 0, 0, 0, 0, 0],
      ringSlots: 2,
      stagingSlots: 0,
      maxPending: 1,
      maxPendingBroadcasts: 1,
      delayMs: () => 20,
    });
    setTimeout(() => controller.abort(new Error('stop')), 30);
    await expect(run).rejects.toMatchObject({ code: 'CE_ABORTED' });
  });

  it('resolves at once without buckets', async () => {
    const { run } = simulate({
      roots: [],
      ringSlots: 1,
      stagingSlots: 0,
      maxPending: 1,
      maxPendingBroadcasts: 1,
      delayMs: () => 0,
    });
    await expect(run).resolves.toBeUndefined();
  });
});
