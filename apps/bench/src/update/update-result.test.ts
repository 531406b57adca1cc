import type { UpdateResult } from '@checkpoint-engine/ps';
import { describe, expect, it } from 'vitest';
import { describeMachine } from '../report/machine.ts';
import { isMet, RESULT_VERSION, type ResultRow } from '../report/result.ts';
import { viewsOf } from '../report/views.ts';
import type { WorkerClock } from '../world/engine-process.ts';
import type { VariantFigures } from './measure-variant.ts';
import type { UpdateFigures, UpdateScenarioOptions } from './update-figures.ts';
import { updateResult } from './update-result.ts';

const GB = 1e9;
const clock = (busySeconds: number): WorkerClock => ({
  buckets: 10,
  handle_seconds: 0.01,
  bucket_busy_seconds: busySeconds,
  bucket_wait_seconds: 0.2,
  release_seconds: 0.05,
  release_call_seconds: { empty_cache: 0.03 },
  hook_seconds: 0.04,
});
const result: UpdateResult = {
  ...{
    checkpoint: 'weights',
    counter: 1,
    weightVersion: 'update-1',
    totalBytes: 16 * GB,
    tensorCount: 1000,
    bucketCount: 128,
  },
  verified: { mode: 'sample', arrivedBytes: 0, heldBytes: 0, unverifiedTensors: 0 },
  ...{ bucketBytes: 2 ** 27, ringSlots: 3, stagingSlots: 2, deviceBytes: 2 ** 30, reason: 'because' },
  ...{ method: 'buckets', methodReason: '', neededBytes: 16 * GB, pulledBytes: 0 },
  durationsMs: { plan: 1, handshake: 9, stream: 200, release: 50, hook: 40, total: 300, engine: 290 },
  removedFiles: [],
};
const variant: VariantFigures = {
  variant: {},
  warmupMs: [900],
  samplesMs: [310, 290, 300],
  last: [0, 1].map((rank) => ({
    updateMs: 300 - rank,
    busyMs: 9,
    result,
    events: [
      { type: 'bucket-start', rank, stage: 'h2d', bucket: 0, sizeBytes: 4, atMs: 1000 },
      { type: 'bucket-start', rank, stage: 'reload', bucket: 1, sizeBytes: 4, atMs: 1005 },
      { type: 'bucket-end', rank, stage: 'reload', bucket: 1, sizeBytes: 4, atMs: 1010 },
      { type: 'bucket-end', rank, stage: 'h2d', bucket: 0, sizeBytes: 4, atMs: 1010 },
    ],
  })),
  worker: clock(0.1),
  driverBytes: 2 ** 30,
  growth: { deviceBytes: 0, openFiles: 0 },
  checked: 2000,
  wrong: 0,
};
const figures: UpdateFigures = {
  checkpoint: { title: 'M', folder: 'm', files: [], sizeBytes: 16 * GB, tensorCount: 1000 },
  floors: { machine: describeMachine(), h2dAloneGBps: 55, h2dTogetherGBps: 50 },
  links: { torch: '2', nccl: '2.28.9', h2d_alone_GBps: 54, h2d_all_GBps: 53, broadcast_GBps: 100, both_GBps: 90 },
  fixedMs: [90, 100, 110],
  registerMs: [2000, 800],
  poolBytes: 16 * GB,
  gatherMs: [5, 6, 7],
  variants: [variant],
  python: {
    checked: 2000,
    wrong: 0,
    ranks: [0, 1].map((rank) => ({
      ...{ torch: '2', rank, ready_s: 5 + rank, register_s: [9 + rank], gather_s: 0.5 },
      buckets: [
        {
          ...{ bucket_gib: 8, device_memory_bytes: 24 * GB + rank },
          ...{
            update_s: [1, 1.1 + rank],
            update_kept_group_s: [0.6, 0.8],
            worker: clock(0.3),
            worker_kept_group: clock(0.3),
          },
        },
      ],
    })),
  },
};
const options: UpdateScenarioOptions = {
  ...{ dataDir: 'd', device: 'cuda', receiver: 'python', python: 'python3', ranks: 2, updates: 3, warmups: 1 },
  ...{ registers: 2, variants: [{}], watchMemory: true, peer: true, peerBucketGiB: [8] },
  ...{ linkFloors: true, timelines: true },
};

describe('updateResult', () => {
  const whole = { version: RESULT_VERSION, ...updateResult(options, figures) } as const;
  const row = (by: string, what = 'update'): ResultRow =>
    whole.rows.find((one) => one.by === by && one.what === what && one.model !== 'one small tensor')!;
  const target = (text: string) => whole.targets.find(({ what }) => what.includes(text))!;

  it("has the slower of a GPU's copies and the broadcast as the floor", () => {
    // 16 GB at 100 GB/s is slower than half of them at 53.
    expect(row('checkpoint-engine').floorMs).toBe(160);
    expect(target('streaming alone')).toMatchObject({ measured: 200, atMost: 184 });
    expect(isMet(target('streaming alone'))).toBe(false);
    expect(target('floor + fixed time').atMost).toBeCloseTo(284);
  });

  it('compares with the slowest rank of the Python tool', () => {
    expect(row('Python tool, as shipped').samplesMs).toEqual([1000, 2100]);
    expect(row('Python tool, as shipped', 'register').samplesMs).toEqual([10_000]);
    expect(row('Python tool, group kept')).toMatchObject({ driverBytes: 24 * GB + 1, checked: 2000, wrong: 0 });
    expect(target('faster than the Python tool')).toMatchObject({ measured: 700 / 300, atLeast: 1.5 });
    expect(whole.title).toContain('2.33 x as fast as the Python tool, group kept');
  });

  it("separates the worker's own time from the sender's", () => {
    // 300 ms less the worker's 10 + 100 + 50 + 40; the Python tool's 700 less 10 + 300 + 50 + 40.
    expect(row('checkpoint-engine').figures?.['sender us/tensor']).toBeCloseTo(100);
    expect(target("sender's time for each tensor").measured).toBeCloseTo(100 / 300);
  });

  it('reports the overlap of stages, and keeps the timeline', () => {
    expect(row('checkpoint-engine').figures?.['two stages at once %']).toBeCloseTo(50);
    expect(whole.timelines?.[0]?.ranks[1]?.spans).toContainEqual(['h2d', 0, 0, 10, 4]);
  });

  it('has the columns of the table in the README of the Python tool', () => {
    const [view] = viewsOf(whole);
    expect(view?.head).toEqual(['Model', 'Device Info', 'By', 'GatherMetas', 'Update (Broadcast)']);
    expect(view?.rows).toContainEqual(['M', expect.any(String), 'Python tool, as shipped', '500 ms', '1.55 s (8 GiB)']);
  });
});
