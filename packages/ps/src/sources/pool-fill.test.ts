import { CheckpointEngineError, type FileRead, type HostMemory, silentLogger } from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Deferred } from '../util/deferred.ts';
import { PoolFill } from './pool-fill.ts';
import { partsOf } from './pool-part.ts';
import type { StreamedFile } from './streamed-file.ts';

const PART_BYTES = 100;

afterEach(() => void vi.useRealTimers());

/** A pool of `partCount` parts of one read each; reads end when the test allows it. */
function open(partCount: number, check: () => Promise<void> = async () => {}) {
  const reads: FileRead[] = Array.from({ length: partCount }, (_, index) => {
    const offsetBytes = index * PART_BYTES;
    return { path: '/weights', fileOffsetBytes: 8 + offsetBytes, offsetBytes, sizeBytes: PART_BYTES };
  });
  const started: number[] = [];
  const ends = new Map<number, Deferred>();
  const memory = {
    read([{ offsetBytes }]: readonly [FileRead]) {
      const part = offsetBytes / PART_BYTES;
      const end = new Deferred();
      started.push(part);
      ends.set(part, end);
      return end.promise;
    },
  } as unknown as HostMemory;
  const file = { path: '/weights', checkUnchanged: check } as unknown as StreamedFile;
  const fill = new PoolFill({
    memory,
    parts: partsOf(reads, PART_BYTES),
    files: new Map([['/weights', file]]),
    rank: 0,
    logger: silentLogger,
  });
  const end = async (part: number, error?: Error): Promise<void> => {
    await vi.waitFor(() => expect(ends.has(part)).toBe(true));
    ends.get(part)!.follow(error === undefined ? undefined : Promise.reject(error));
    ends.delete(part);
  };
  return { fill, started, end, part: (index: number) => fill.range(index * PART_BYTES, (index + 1) * PART_BYTES) };
}

const unreadable = new CheckpointEngineError('CE_FILE_UNREADABLE', 'no', 'look', { status: 13, file: '/weights' });

describe('partsOf', () => {
  it('has every byte of every read once, at its place, in one part', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(350), fc.nat(30))), fc.integer({ min: 1, max: 120 }), (sizes, partBytes) => {
        let end = 0;
        const reads = sizes.map(([sizeBytes, gapBytes], index) => {
          const offsetBytes = end + gapBytes;
          end = offsetBytes + sizeBytes;
          return { path: `/${index % 3}`, fileOffsetBytes: 1000 * index, offsetBytes, sizeBytes };
        });
        const bytesOf = (list: readonly FileRead[]): string[] =>
          list.flatMap(({ path, fileOffsetBytes, offsetBytes, sizeBytes }) =>
            Array.from({ length: sizeBytes }, (_, at) => `${path} ${fileOffsetBytes + at} ${offsetBytes + at}`),
          );
        const parts = partsOf(reads, partBytes);
        expect(bytesOf(parts.flatMap((part) => part.reads))).toEqual(bytesOf(reads));
        for (const part of parts) {
          expect(part.reads.length).toBeGreaterThan(0);
          for (const { offsetBytes, sizeBytes } of part.reads) {
            expect(offsetBytes).toBeGreaterThanOrEqual(part.fromBytes);
            expect(offsetBytes + sizeBytes).toBeLessThanOrEqual(part.toBytes);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('PoolFill', () => {
  it('reads its parts in order, a few at a time, each once', async () => {
    const { fill, started, end, part } = open(6);
    fill.start();
    fill.start();
    await vi.waitFor(() => expect(started).toEqual([0, 1, 2, 3]));
    await part(3).started;
    await end(1);
    await part(1).read;
    await vi.waitFor(() => expect(started).toEqual([0, 1, 2, 3, 4]));
    expect(fill.isLoaded).toBe(false);
    for (const index of [0, 2, 3, 4, 5]) await end(index);
    await fill.loaded();
    fill.start();
    expect(started).toEqual([0, 1, 2, 3, 4, 5]);
    expect(fill.isLoaded).toBe(true);
  });

  it('reports a failure to all waiters, keeps what it has, and continues with the rest', async () => {
    const { fill, started, end, part } = open(6);
    fill.start();
    const [first, last] = [part(0).read, part(5).read];
    await end(0);
    await end(2, unreadable);
    await first;
    await expect(last).rejects.toBe(unreadable);
    for (const index of [1, 3, 4]) await end(index);
    started.length = 0;
    const loaded = fill.loaded();
    for (const index of [1, 2, 3, 4, 5]) await end(index);
    await loaded;
    expect(started).toEqual([1, 2, 3, 4, 5]);
  });

  it('fails if a file has changed', async () => {
    const changed = new CheckpointEngineError('CE_FILE_CHANGED', 'changed', 'wait', { file: '/weights' });
    const { fill, started } = open(1, async () => Promise.reject(changed));
    await expect(fill.loaded()).rejects.toBe(changed);
    expect(started).toEqual([]);
  });

  it('frees the memory when the last read has ended, and starts no other read', async () => {
    const { fill, started, end } = open(6);
    const release = vi.fn();
    fill.start();
    const loaded = fill.loaded();
    await vi.waitFor(() => expect(started).toHaveLength(4));
    const closing = fill.close(release);
    await expect(loaded).rejects.toMatchObject({ code: 'CE_CLOSED' });
    for (const index of [0, 1, 2]) await end(index);
    expect(release).not.toHaveBeenCalled();
    await end(3);
    await closing;
    await fill.close(release);
    expect(release).toHaveBeenCalledOnce();
    expect(started).toHaveLength(4);
  });

  it('does not wait for a read that hangs, and frees the memory when it ends', async () => {
    const { fill, started, end } = open(1);
    const release = vi.fn();
    fill.start();
    await vi.waitFor(() => expect(started).toHaveLength(1));
    vi.useFakeTimers();
    const closing = fill.close(release);
    await vi.advanceTimersByTimeAsync(1_000);
    await closing;
    vi.useRealTimers();
    expect(release).not.toHaveBeenCalled();
    await end(0);
    await vi.waitFor(() => expect(release).toHaveBeenCalledOnce());
  });
});
