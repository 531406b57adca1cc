import {
  CheckpointEngineError,
  type Copy,
  type FileRead,
  type HostMemory,
  type ReadOptions,
  silentLogger,
} from '@checkpoint-engine/interface';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { Bucket } from '@checkpoint-engine/planner';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { ProgressEvent } from '../progress-event.ts';
import { FileChunks } from './file-chunks.ts';
import type { PlacedFile } from './placed-file.ts';
import { type ReadAheadOptions, ReadAheadSource } from './read-ahead-source.ts';
import { chunksOf } from './stream-chunk.ts';
import type { StreamRegion } from './stream-region.ts';
import type { StreamedFile } from './streamed-file.ts';

const SLOT = 256;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const target = { memory: {} as HostMemory, offsetBytes: 0, sizeBytes: 0 };

interface Setting {
  readonly sizes: readonly number[];
  readonly ringBytes: number;
  /** @default one chunk per bucket */
  readonly chunkBytes?: number;
  /** The first region is a file; the others are mapped. @default all in the file */
  readonly regionOf?: readonly number[];
  readonly read?: (attempt: number, options: ReadOptions) => Promise<void>;
  readonly copy?: () => Promise<void>;
  readonly check?: () => Promise<void>;
}

/** One tensor per bucket, in succession in their regions. The ring reports bytes that are overwritten too early. */
function open({ sizes, ringBytes, chunkBytes = 2 ** 20, regionOf = sizes.map(() => 0), read, copy, check }: Setting) {
  const buckets: Bucket[] = sizes.map((sizeBytes, index) => {
    return { index, ownerRank: 0, sizeBytes, firstTensor: index, tensorCount: 1 };
  });
  const ends = [0, 0];
  const tensors = sizes.map((sizeBytes, index) => {
    const region = regionOf[index]!;
    const offsetBytes = ends[region]!;
    ends[region] = offsetBytes + sizeBytes;
    return { name: `t${index}`, dtype: 'U8' as const, shape: [sizeBytes], sizeBytes, region, offsetBytes };
  });
  const reads: FileRead[] = [];
  const violations: string[] = [];
  let held: { from: number; to: number }[] = [];
  let attempts = 0;
  const memory = {
    sizeBytes: ringBytes,
    async read(wanted: readonly FileRead[], options: ReadOptions) {
      for (const { offsetBytes: from, sizeBytes } of wanted) {
        const to = from + sizeBytes;
        if (held.some((other) => other.from < to && from < other.to)) violations.push(`${from} is still in use`);
        if (to > ringBytes) violations.push(`${to} is outside`);
        held.push({ from, to });
      }
      reads.push(...wanted);
      try {
        await read?.(attempts++, options);
      } catch (error) {
        held = held.filter(({ from }) => wanted.every(({ offsetBytes }) => offsetBytes !== from));
        throw error;
      }
    },
  } as unknown as HostMemory;
  const mapped = {} as HostMemory;
  const file = { path: '/weights', sizeBytes: ends[0]!, checkUnchanged: check ?? (async () => {}) };
  const regions: StreamRegion[] = [
    { sizeBytes: ends[0]!, file: file as unknown as StreamedFile },
    { sizeBytes: ends[1]!, memory: mapped, placed: { checkUnchanged: async () => {} } as unknown as PlacedFile },
  ];
  const copies: Copy[] = [];
  const events: ProgressEvent[] = [];
  const controller = new AbortController();
  const release = vi.fn();
  const metas = { checkpoint: 'c', rank: 0, host: 'h', deviceUuid: 'd', nics: [], regions, tensors } as RankMetas;
  const chunks = chunksOf(buckets, metas, regions, chunkBytes);
  const options: ReadAheadOptions & { metas: RankMetas; alignBytes: number } = {
    rank: 0,
    metas,
    alignBytes: 256,
    stream: {
      name: 'h2d',
      async copy(wanted) {
        copies.push(...wanted);
        await copy?.();
        held = held.filter(({ from }) => wanted.every(({ from: { offsetBytes } }) => offsetBytes !== from));
      },
      close: async () => {},
    },
    signal: controller.signal,
    emit: (event) => events.push(event),
    logger: silentLogger,
  };
  const files = new FileChunks(regions, memory, options);
  const source = new ReadAheadSource(files, chunks, memory, release, options);
  const run = async (): Promise<void> => {
    for (const bucket of buckets.filter(({ sizeBytes }) => sizeBytes > 0)) {
      await source.ready(bucket);
      await source.load(bucket, target);
    }
  };
  return { source, buckets, run, reads, copies, events, violations, release, controller, mapped };
}

const failure = (status: number): CheckpointEngineError =>
  new CheckpointEngineError('CE_FILE_UNREADABLE', 'cannot read', 'look', { status, file: '/weights' });
const EIO = 5;
const EACCES = 13;

describe('ReadAheadSource', () => {
  it('reads every byte once, in order, and never over bytes that are not copied yet', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          sizes: fc.array(fc.integer({ min: 0, max: 3 * SLOT }), { maxLength: 12 }),
          slots: fc.integer({ min: 3, max: 8 }),
          delays: fc.infiniteStream(fc.integer({ min: 0, max: 2 })),
        }),
        async ({ sizes, slots, delays }) => {
          const delay = (): Promise<void> => sleep(delays.next().value as number);
          const { run, reads, violations, source, release } = open({
            sizes,
            ringBytes: slots * SLOT,
            read: delay,
            copy: delay,
          });
          await run();
          await source.close();
          expect(violations).toEqual([]);
          const offsets = sizes.map((_, index) => sizes.slice(0, index).reduce((sum, size) => sum + size, 0));
          expect(reads.map(({ fileOffsetBytes, sizeBytes }) => [fileOffsetBytes, sizeBytes])).toEqual(
            sizes.flatMap((size, index) => (size > 0 ? [[offsets[index]!, size]] : [])),
          );
          expect(release).toHaveBeenCalledOnce();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('reads buckets of any size through little memory, in chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 40 * SLOT }), { maxLength: 8 }),
        fc.array(fc.constantFrom(0, 1), { minLength: 8, maxLength: 8 }),
        async (sizes, regionOf) => {
          const ringBytes = 4 * SLOT;
          const { run, violations, copies, events, source } = open({ sizes, regionOf, ringBytes, chunkBytes: SLOT });
          await run();
          await source.close();
          expect(violations).toEqual([]);
          const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
          expect(sum(copies.map(({ to }) => to.sizeBytes))).toBe(sum(sizes));
          const isRead = (size: number, index: number): boolean => size > 0 && regionOf[index] === 0;
          expect(events.filter(({ type }) => type === 'bucket-end')).toHaveLength(sizes.filter(isRead).length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('reads ahead as far as the ring has room, before the first request', async () => {
    const { reads, source, buckets } = open({ sizes: Array(9).fill(SLOT), ringBytes: 6 * SLOT });
    await vi.waitFor(() => expect(reads).toHaveLength(6));
    await sleep(20);
    expect(reads).toHaveLength(6);
    await source.ready(buckets[0]!);
    await source.load(buckets[0]!, target);
    await vi.waitFor(() => expect(reads).toHaveLength(7));
    await source.close();
  });

  it('reads a few buckets at a time', async () => {
    const { reads, source, controller } = open({
      sizes: Array(9).fill(SLOT),
      ringBytes: 9 * SLOT,
      read: (_, { signal }) =>
        new Promise((_, reject) => signal!.addEventListener('abort', () => reject(signal!.reason))),
    });
    await sleep(20);
    expect(reads).toHaveLength(4);
    controller.abort();
    await source.close();
  });

  it('reports each read with the size of its bucket', async () => {
    const { run, events, source } = open({ sizes: [SLOT, 0, 100], ringBytes: 4 * SLOT });
    await run();
    await source.close();
    expect(events.map((event) => [event.type, 'bucket' in event && event.bucket])).toEqual(
      expect.arrayContaining([
        ['bucket-start', 0],
        ['bucket-end', 0],
        ['bucket-start', 2],
        ['bucket-end', 2],
      ]),
    );
    expect(events).toHaveLength(4);
  });

  it('copies mapped files directly, without reading them', async () => {
    const { run, reads, copies, mapped, source } = open({ sizes: [100, 200], regionOf: [0, 1], ringBytes: SLOT });
    await run();
    await source.close();
    expect(reads).toHaveLength(1);
    expect(copies.map(({ from }) => from.memory === mapped)).toEqual([false, true]);
  });

  it('reads again after a failure that may be temporary', async () => {
    const { run, reads, source } = open({
      sizes: [SLOT],
      ringBytes: SLOT,
      read: async (attempt) => {
        if (attempt < 2) throw failure(EIO);
      },
    });
    await run();
    await source.close();
    expect(reads).toHaveLength(3);
  });

  it.each([
    { name: 'four times at most', status: EIO, tries: 4 },
    { name: 'not if permission is denied', status: EACCES, tries: 1 },
  ])('reads again: $name', async ({ status, tries }) => {
    const read = () => Promise.reject(failure(status));
    const { run, reads, source, release } = open({ sizes: [SLOT, SLOT], ringBytes: SLOT, read });
    await expect(run()).rejects.toMatchObject({ code: 'CE_FILE_UNREADABLE', file: '/weights' });
    await source.close();
    expect(reads).toHaveLength(tries);
    expect(release).toHaveBeenCalledOnce();
  });

  it('also checks the file after the read', async () => {
    let checks = 0;
    const changed = new CheckpointEngineError('CE_FILE_CHANGED', 'changed', 'do not');
    const { run, source } = open({
      sizes: [SLOT],
      ringBytes: SLOT,
      check: async () => {
        if (checks++ === 1) throw changed;
      },
    });
    await expect(run()).rejects.toBe(changed);
    await source.close();
  });

  it('rejects at once when its signal fires while a read hangs, and keeps the memory until the read has ended', async () => {
    let end!: () => void;
    const hanging = new Promise<void>((resolve) => {
      end = resolve;
    });
    const { run, source, controller, release } = open({ sizes: [SLOT], ringBytes: SLOT, read: () => hanging });
    const running = run();
    controller.abort(new CheckpointEngineError('CE_TIMEOUT', 'late', 'wait'));
    await expect(running).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
    await source.close();
    expect(release).not.toHaveBeenCalled();
    end();
    await vi.waitFor(() => expect(release).toHaveBeenCalledOnce());
  });

  it('ends its reading when it is closed early', async () => {
    const { reads, source, release } = open({
      sizes: Array(20).fill(SLOT),
      ringBytes: 20 * SLOT,
      read: () => sleep(5),
    });
    await source.close();
    const before = reads.length;
    await sleep(30);
    expect(reads).toHaveLength(before);
    expect(release).toHaveBeenCalledOnce();
  });
});
