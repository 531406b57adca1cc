import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import type { FileRead } from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let folder: string;
let device: HostDevice;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ce-read-'));
  device = await createHostDevice({ threads: 4 });
});
afterAll(async () => {
  await device.close();
  rmSync(folder, { recursive: true });
});

/** Bytes that show their position in the file. */
const pattern = (sizeBytes: number, seed: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed * 7919, 2654435761);
  return new Uint8Array(words.buffer, 0, sizeBytes);
};
const file = (name: string, bytes: Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe('read', () => {
  it('writes every range of every file to its place and nothing else', async () => {
    const contents = [pattern(30_000_001, 1), pattern(20_000_000, 2)];
    const paths = contents.map((bytes, i) => file(`random-${i}`, bytes));
    const cut = fc.record({
      file: fc.nat(1),
      from: fc.nat(19_999_999),
      size: fc.oneof(fc.nat(5_000), fc.nat(20_000_000)),
      gap: fc.nat(300),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { minLength: 1, maxLength: 12 }), async (cuts) => {
        let next = 0;
        const reads = cuts.map(({ file: index, from, size, gap }): FileRead => {
          const sizeBytes = Math.min(size, 20_000_000 - from);
          const offsetBytes = next + gap;
          next = offsetBytes + sizeBytes;
          return { path: paths[index]!, fileOffsetBytes: from, offsetBytes, sizeBytes };
        });
        using memory = await device.allocateHost(next + 300);
        await memory.read(reads);
        const expected = new Uint8Array(next + 300);
        for (const { path, fileOffsetBytes: from, offsetBytes, sizeBytes } of reads) {
          expected.set(contents[paths.indexOf(path)]!.subarray(from, from + sizeBytes), offsetBytes);
        }
        expect(same(memory.view(0, expected.length), expected)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  it('reads neighboring ranges of a file together into places with gaps', async () => {
    const bytes = pattern(5_000_000, 3);
    const path = file('neighbors', bytes);
    // More ranges than one preadv accepts, in reverse order, each followed by padding.
    const reads = Array.from({ length: 5_000 }, (_, i) => ({
      path,
      fileOffsetBytes: i * 1000,
      offsetBytes: i * 1024,
      sizeBytes: 1000,
    })).reverse();
    using memory = await device.allocateHost(5_000 * 1024);
    await memory.read(reads);
    const view = memory.view(0, memory.sizeBytes);
    for (let i = 0; i < 5_000; i++) {
      expect(same(view.subarray(i * 1024, i * 1024 + 1000), bytes.subarray(i * 1000, (i + 1) * 1000))).toBe(true);
      expect(view.subarray(i * 1024 + 1000, (i + 1) * 1024).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('takes 140,000 scattered ranges of 100 files', async () => {
    const bytes = pattern(1 << 20, 4);
    const paths = Array.from({ length: 100 }, (_, i) => file(`many-${i}`, bytes));
    const reads = Array.from({ length: 140_000 }, (_, i) => ({
      path: paths[i % 100]!,
      fileOffsetBytes: Math.floor(i / 100) * 700,
      offsetBytes: i * 64,
      sizeBytes: 64,
    }));
    using memory = await device.allocateHost(140_000 * 64);
    await memory.read(reads);
    const view = memory.view(0, memory.sizeBytes);
    const wrong = reads.filter(
      ({ offsetBytes: at, fileOffsetBytes: from }) =>
        !same(view.subarray(at, at + 64), bytes.subarray(from, from + 64)),
    );
    expect(wrong).toEqual([]);
  });

  it('resolves at once if there is nothing to read', async () => {
    using memory = await device.allocateHost(10);
    const done: number[] = [];
    await memory.read([], { onProgress: (bytes) => done.push(bytes) });
    await memory.read([{ path: '/nowhere', fileOffsetBytes: 0, offsetBytes: 10, sizeBytes: 0 }]);
    expect(done).toEqual([0]);
  });

  it('reports progress that grows up to all bytes', async () => {
    const path = file('progress', new Uint8Array(64 << 20));
    using memory = await device.allocateHost(64 << 20);
    const done: number[] = [];
    await memory.read([{ path, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 64 << 20 }], {
      onProgress: (bytes) => done.push(bytes),
    });
    expect(done.at(-1)).toBe(64 << 20);
    expect(done).toEqual([...done].sort((a, b) => a - b));
  });

  it('stops when it is aborted, and throws the reason', async () => {
    const path = file('aborted', new Uint8Array(256 << 20));
    using memory = await device.allocateHost(256 << 20);
    const reads = [{ path, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 256 << 20 }];
    const controller = new AbortController();
    const reading = memory.read(reads, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toMatchObject({ code: 'CE_ABORTED', cause: new Error('enough') });
    await expect(memory.read(reads, { signal: controller.signal })).rejects.toMatchObject({ code: 'CE_ABORTED' });
    await expect(memory.read(reads, { signal: AbortSignal.timeout(1) })).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
    await memory.read(reads, { signal: AbortSignal.timeout(60_000) });
  });

  it('finishes into memory that is closed meanwhile', async () => {
    const path = file('closed', new Uint8Array(64 << 20));
    const memory = await device.allocateHost(64 << 20);
    const reading = memory.read([{ path, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 64 << 20 }]);
    memory.close();
    await reading;
  });
});

describe('errors of read', () => {
  const whole = (path: string, sizeBytes = 1000): FileRead => ({ path, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes });

  it('report a file that ends too early', async () => {
    const path = file('truncated', new Uint8Array(1000));
    using memory = await device.allocateHost(20 << 20);
    await memory.read([whole(path)]);
    truncateSync(path, 900);
    const reading = memory.read([whole(path)]);
    await expect(reading).rejects.toMatchObject({ code: 'CE_FILE_TRUNCATED', file: path });
    await expect(reading).rejects.toThrow(`${path} ends at byte 900: it has 900 bytes, 1000 are needed`);
    await expect(memory.read([{ ...whole(path, 10), fileOffsetBytes: 5000 }])).rejects.toMatchObject({
      code: 'CE_FILE_TRUNCATED',
    });
  });

  it('report a missing file and a directory', async () => {
    using memory = await device.allocateHost(1000);
    const missing = join(folder, 'missing');
    await expect(memory.read([whole(missing)])).rejects.toMatchObject({
      code: 'CE_FILE_NOT_FOUND',
      file: missing,
      op: 'open',
      status: 2,
    });
    await expect(memory.read([whole(folder)])).rejects.toMatchObject({ code: 'CE_FILE_UNREADABLE', file: folder });
    await expect(memory.read([whole('/dev/zero')])).rejects.toMatchObject({ code: 'CE_FILE_UNREADABLE' });
  });

  it('report a file that this user may not read', async (context) => {
    const path = file('secret', new Uint8Array(1000));
    chmodSync(path, 0);
    if (process.geteuid!() === 0) {
      // Root can read every file; the kernel's error for the memory of a process is the closest equivalent.
      using memory = await device.allocateHost(1000);
      await expect(memory.read([whole(`/proc/${process.pid}/mem`)])).rejects.toMatchObject({
        code: 'CE_FILE_UNREADABLE',
        op: 'preadv',
      });
      console.warn('skipped: a file that this user may not read: root can read every file');
      return context.skip();
    }
    using memory = await device.allocateHost(1000);
    await expect(memory.read([whole(path)])).rejects.toMatchObject({ code: 'CE_FILE_UNREADABLE', status: 13 });
  });

  it('report ranges outside of the memory', async () => {
    using memory = await device.allocateHost(1000);
    const path = file('range', new Uint8Array(2000));
    await expect(memory.read([whole(path, 1001)])).rejects.toThrow(RangeError);
    await expect(memory.read([{ ...whole(path), offsetBytes: 1 }])).rejects.toThrow(RangeError);
    await expect(memory.read([{ ...whole(path), fileOffsetBytes: -1 }])).rejects.toThrow(RangeError);
    await expect(memory.read([{ ...whole(path), sizeBytes: Number.NaN }])).rejects.toThrow(RangeError);
  });
});
