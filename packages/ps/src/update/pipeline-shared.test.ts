import type { BroadcastGroup, SharedBroadcast, SharedMemory } from '@checkpoint-engine/interface';
import type { Bucket } from '@checkpoint-engine/planner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketTransfer } from '../../test/support/bucket-transfer.ts';
import { Ring } from '../sources/ring.ts';
import { runPipeline } from './pipeline.ts';

const SLOT = 256;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Setting {
  readonly ranks: number;
  readonly buckets: readonly { readonly root: number; readonly size: number }[];
  readonly ringSlots: number;
  readonly maxPending: number;
  readonly delayMs: () => number;
}

/** Runs all ranks of a world over one ring, and returns what each worker found in place of its bucket. */
async function simulate({ ranks, buckets: wanted, ringSlots, maxPending, delayMs }: Setting) {
  const sizes = wanted.map(({ size }) => size);
  const slot = Math.max(SLOT, ...sizes.map((size) => Math.ceil(size / 256) * 256));
  const bytes = new Int32Array(ringSlots * slot).fill(-1);
  const shared: SharedMemory = {
    kind: 'host',
    address: 1n,
    sizeBytes: bytes.length,
    handle: new Uint8Array(),
    close() {},
    [Symbol.dispose]() {},
  };
  const buckets: Bucket[] = wanted.map(({ root, size }, index) => {
    return { index, ownerRank: root, sizeBytes: size, firstTensor: index, tensorCount: 1 };
  });
  const transfers = buckets.map(bucketTransfer);
  const meetings: { arrived: number; fill?: () => Promise<void>; over: ReturnType<typeof deferred> }[] = [];
  const found: number[][] = [];
  const run = async (rank: number): Promise<void> => {
    const ring = new Ring(shared, sizes);
    let call = 0;
    const seen: number[] = [];
    found[rank] = seen;
    const group: BroadcastGroup = {
      members: Array.from({ length: ranks }, (_, one) => one),
      broadcast: () => Promise.reject(new Error('a shared ring has no other broadcasts')),
      async broadcastShared(_root: number, { fill }: SharedBroadcast) {
        meetings[call] ??= { arrived: 0, over: deferred() };
        const meeting = meetings[call]!;
        call += 1;
        meeting.arrived += 1;
        if (fill !== undefined) meeting.fill = fill;
        if (meeting.arrived === ranks) meeting.fill!().then(meeting.over.resolve, meeting.over.reject);
        await meeting.over.promise;
        await sleep(delayMs());
      },
      abort() {},
      close: async () => {},
    };
    await runPipeline({
      transfers,
      rank,
      source: {
        ready: () => sleep(delayMs()),
        async load({ index, sizeBytes }, { offsetBytes }) {
          for (let at = 0; at < sizeBytes; at++) {
            bytes[offsetBytes + at] = index;
            if (at % 200 === 0) await sleep(delayMs());
          }
        },
        close: async () => {},
      },
      ring,
      sharesRing: true,
      staging: undefined,
      group,
      maxPendingBroadcasts: ringSlots,
      session: {
        address: 'test',
        maxPending,
        open: async () => {},
        async reload({ index, tensors: [tensor] }) {
          await sleep(delayMs());
          const { offsetBytes, sizeBytes } = tensor!;
          seen[index] = bytes.subarray(offsetBytes, offsetBytes + sizeBytes).every((byte) => byte === index)
            ? index
            : -1;
        },
        finish: async () => {},
        fail: async () => {},
        close: async () => {},
      },
      opened: sleep(delayMs()),
      describe: ({ index, sizeBytes }, offsetBytes) => {
        return { index, tensors: [{ name: 't', dtype: 'U8', shape: [sizeBytes], offsetBytes, sizeBytes }] };
      },
      signal: new AbortController().signal,
      onFailure: () => {},
      emit: () => {},
    });
  };
  await Promise.all(Array.from({ length: ranks }, (_, rank) => run(rank)));
  return found;
}

function deferred() {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

describe('runPipeline with one ring for all ranks', () => {
  it('shows every worker every complete bucket, for any timing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          buckets: fc.array(
            fc.record({ root: fc.integer({ min: 0, max: 2 }), size: fc.integer({ min: 0, max: 3 * SLOT }) }),
            {
              maxLength: 10,
            },
          ),
          ringSlots: fc.integer({ min: 1, max: 3 }),
          maxPending: fc.integer({ min: 1, max: 3 }),
          delays: fc.infiniteStream(fc.integer({ min: 0, max: 2 })),
        }),
        async ({ delays, ...setting }) => {
          const found = await simulate({ ...setting, ranks: 3, delayMs: () => delays.next().value as number });
          for (const seen of found) expect([...seen]).toEqual(setting.buckets.map((_, index) => index));
        },
      ),
      { numRuns: 60 },
    );
  });
});
