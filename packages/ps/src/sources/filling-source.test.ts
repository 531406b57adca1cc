import { type FileRead, type HostMemory, silentLogger } from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { Bucket } from '@checkpoint-engine/planner';
import { describe, expect, it, vi } from 'vitest';
import type { ProgressEvent } from '../progress-event.ts';
import { Deferred } from '../util/deferred.ts';
import { FillingSource } from './filling-source.ts';
import { PoolFill } from './pool-fill.ts';
import { partsOf } from './pool-part.ts';
import type { PoolSource } from './pool-source.ts';
import type { StreamedFile } from './streamed-file.ts';

const TENSOR_BYTES = 60;
/** Regions of five tensors, one bucket each: the third is in a file that is mapped in place. */
const REGIONS = [0, 0, 1, 0, 0];

/** A pool of four tensors in parts of 100 bytes, so that tensors span parts; reads end when the test allows it. */
function open() {
  let end = 0;
  const tensors = REGIONS.map((region, index) => {
    const offsetBytes = region === 0 ? end : 0;
    if (region === 0) end += TENSOR_BYTES;
    return {
      name: `t${index}`,
      dtype: 'U8' as const,
      shape: [TENSOR_BYTES],
      sizeBytes: TENSOR_BYTES,
      region,
      offsetBytes,
    };
  });
  const reads = tensors.flatMap(({ region, offsetBytes, sizeBytes }) =>
    region === 0 ? [{ path: '/weights', fileOffsetBytes: offsetBytes, offsetBytes, sizeBytes }] : [],
  );
  const ends = [new Deferred(), new Deferred(), new Deferred()];
  const memory = {
    read: ([{ offsetBytes }]: readonly [FileRead]) => ends[Math.floor(offsetBytes / 100)]!.promise,
  } as unknown as HostMemory;
  const file = { checkUnchanged: async () => {} } as unknown as StreamedFile;
  const fill = new PoolFill({
    memory,
    parts: partsOf(reads, 100),
    files: new Map([['/weights', file]]),
    rank: 3,
    logger: silentLogger,
  });
  const buckets: Bucket[] = REGIONS.map((_, index) => {
    return { index, ownerRank: 3, sizeBytes: TENSOR_BYTES, firstTensor: index, tensorCount: 1 };
  });
  const events: ProgressEvent[] = [];
  const source = (reports: { reportsReads?: boolean } = {}): FillingSource =>
    new FillingSource({} as PoolSource, fill, {
      metas: { checkpoint: 'c', rank: 3, host: 'h', deviceUuid: 'd', nics: [], regions: [], tensors } as RankMetas,
      buckets,
      alignBytes: 1,
      stream: { name: 'h2d', copy: async () => {}, close: async () => {} },
      signal: new AbortController().signal,
      emit: (event) => events.push(event),
      logger: silentLogger,
      ...reports,
    });
  return { source, fill, buckets, ends, events };
}

describe('FillingSource', () => {
  it('has a bucket ready when all of its parts are read, and buckets in other regions at once', async () => {
    const { source, buckets, ends } = open();
    const filling = source();
    const ready: number[] = [];
    for (const bucket of buckets) void filling.ready(bucket).then(() => ready.push(bucket.index));
    await vi.waitFor(() => expect(ready).toEqual([2]));
    ends[0]!.follow();
    await vi.waitFor(() => expect(ready).toEqual([2, 0]));
    ends[2]!.follow();
    await new Promise(setImmediate);
    expect(ready).toEqual([2, 0]);
    ends[1]!.follow();
    await vi.waitFor(() => expect(ready.toSorted()).toEqual([0, 1, 2, 3, 4]));
  });

  it('reports the reads of an update, and none when everything is read', async () => {
    const { source, fill, buckets, ends, events } = open();
    const filling = source();
    const stages = (of: FillingSource) => buckets.map((bucket) => of.stagesOf(bucket).join(' '));
    expect(stages(filling)).toEqual(['read h2d', 'read h2d', 'h2d', 'read h2d', 'read h2d']);
    for (const end of ends) end.follow();
    await fill.loaded();
    await new Promise(setImmediate);
    const told = events.map((event) => (event.type.startsWith('bucket') ? event : undefined)!);
    for (const type of ['bucket-start', 'bucket-end'] as const) {
      const buckets = told.flatMap((event) => (event.type === type ? [event.bucket] : []));
      expect(buckets.toSorted()).toEqual([0, 1, 3, 4]);
    }
    expect(told[0]).toMatchObject({ rank: 3, stage: 'read', sizeBytes: TENSOR_BYTES });
    await filling.close();
    events.length = 0;
    const full = source();
    await new Promise(setImmediate);
    expect(events).toEqual([]);
    expect(stages(full)).toEqual(Array(5).fill('h2d'));
  });

  it('reports reads that have ended to the first update after them', async () => {
    const { source, fill, buckets, ends, events } = open();
    fill.start();
    for (const end of ends) end.follow();
    await fill.loaded();
    expect([fill.takeReport(), fill.takeReport()]).toEqual([true, false]);
    const filling = source({ reportsReads: true });
    await new Promise(setImmediate);
    expect(buckets.map((bucket) => filling.stagesOf(bucket)[0])).toEqual(['read', 'read', 'h2d', 'read', 'read']);
    expect(events.filter(({ type }) => type === 'bucket-end')).toHaveLength(4);
  });
});
