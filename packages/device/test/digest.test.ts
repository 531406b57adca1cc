import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import {
  addDigests,
  type DigestRange,
  digestBytes,
  digestText,
  type FileRead,
  type HostMemory,
} from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const { vectors, filled, boxes } = JSON.parse(
  readFileSync(new URL('../../interface/test-vectors/digests.json', import.meta.url), 'utf8'),
);
const fill = (sizeBytes: number): Uint8Array =>
  Uint8Array.from({ length: sizeBytes }, (_, i) => (i * 31 + Math.floor(i / 251)) % 256);

let folder: string;
let device: HostDevice;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ce-digest-'));
  device = await createHostDevice({ threads: 3 });
});
afterAll(async () => {
  await device.close();
  await rm(folder, { recursive: true });
});

async function memoryOf(bytes: Uint8Array): Promise<HostMemory> {
  const memory = await device.allocateHost(Math.max(1, bytes.length));
  await memory.write(0, bytes);
  return memory;
}

async function digestOf(memory: HostMemory, range: Omit<DigestRange, 'sum'>): Promise<bigint> {
  const [sum] = await memory.digest!({ ranges: [{ ...range, sum: 0 }], blockBytes: 0, sumCount: 1 });
  return sum!;
}

/** Bytes without a pattern that a digest could hide behind. */
function randomBytes(sizeBytes: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = seed | 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    words[i] = state ^ (state >>> 15);
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}

describe('digest', () => {
  it('agrees with the published vectors', async () => {
    for (const { bytes, positionBytes, digest } of vectors) {
      const data = Buffer.from(bytes, 'hex');
      using memory = await memoryOf(data);
      const range = { offsetBytes: 0, sizeBytes: data.length, positionBytes };
      expect(digestText(await digestOf(memory, range))).toBe(digest);
    }
    for (const { sizeBytes, positionBytes, digest } of filled.vectors) {
      using memory = await memoryOf(fill(sizeBytes));
      expect(digestText(await digestOf(memory, { offsetBytes: 0, sizeBytes, positionBytes }))).toBe(digest);
    }
    using tensor = await memoryOf(fill(boxes.tensorBytes));
    for (const { offsetBytes, rows, rowBytes, pitchBytes, digest } of boxes.vectors) {
      const place = { offsetBytes, positionBytes: offsetBytes, rows, sizeBytes: rowBytes };
      const range = { ...place, pitchBytes, positionPitchBytes: pitchBytes };
      expect(digestText(await digestOf(tensor, range))).toBe(digest);
    }
  });

  it('agrees with the published vectors and with the reference while it reads', async () => {
    const bytes = randomBytes(200_000, 13);
    const path = join(folder, 'read');
    const digestRead = async (fileOffsetBytes: number, sizeBytes: number, positionBytes: number): Promise<bigint> => {
      using memory = await device.allocateHost(sizeBytes + 1);
      const sums = new BigUint64Array(1);
      const ranges = [{ offsetBytes: 1, sizeBytes, positionBytes, sum: 0 }];
      const read = { path, fileOffsetBytes, offsetBytes: 1, sizeBytes };
      await memory.read([read], { digest: { ranges, blockBytes: 0, sumCount: 1, sums } });
      return sums[0]!;
    };
    for (const { sizeBytes, positionBytes, digest } of filled.vectors) {
      writeFileSync(path, fill(sizeBytes));
      expect(digestText(await digestRead(0, sizeBytes, positionBytes))).toBe(digest);
    }
    writeFileSync(path, bytes);
    // Positions at the start of a block and next to it, where the loop over several blocks begins and ends.
    const position = fc.oneof(
      fc.nat(2 ** 40),
      fc.tuple(fc.nat(2 ** 28), fc.integer({ min: -5, max: 5 })).map(([block, gap]) => Math.max(0, block * 4096 + gap)),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(100_000), fc.nat(100_000), position, async (from, sizeBytes, positionBytes) => {
        const wanted = digestBytes(bytes.subarray(from, from + sizeBytes), positionBytes);
        expect(await digestRead(from, sizeBytes, positionBytes)).toBe(wanted);
      }),
      { numRuns: 150 },
    );
  });

  it('agrees with the reference on ranges at any place, with rows of any pitch', async () => {
    const bytes = randomBytes(300_000, 3);
    using memory = await memoryOf(bytes);
    const box = fc.record({
      offsetBytes: fc.nat(9_000),
      rows: fc.integer({ min: 1, max: 20 }),
      sizeBytes: fc.nat(9_000),
      gap: fc.nat(100),
      positionBytes: fc.nat(2 ** 40),
      positionGap: fc.nat(100),
    });
    await fc.assert(
      fc.asyncProperty(box, async ({ gap, positionGap, ...range }) => {
        const pitchBytes = range.sizeBytes + gap;
        const positionPitchBytes = range.sizeBytes + positionGap;
        const rows = Array.from({ length: range.rows }, (_, row) => {
          const at = range.offsetBytes + row * pitchBytes;
          return digestBytes(bytes.subarray(at, at + range.sizeBytes), range.positionBytes + row * positionPitchBytes);
        });
        expect(await digestOf(memory, { ...range, pitchBytes, positionPitchBytes })).toBe(addDigests(rows));
        const one = { ...range, rows: 1, sum: 0 };
        const sums = await memory.digest!({ ranges: [one], blockBytes: 4096, sumCount: 4 });
        expect(addDigests(sums)).toBe(rows[0]);
      }),
      { numRuns: 150 },
    );
  });

  it('returns a sum per block, and the same sums for large ranges in many pieces', async () => {
    const bytes = randomBytes(5_000_001, 5);
    using memory = await memoryOf(bytes);
    const blockBytes = 2 ** 20;
    const ranges = [{ offsetBytes: 0, sizeBytes: bytes.length, positionBytes: 0, sum: 1 }];
    const sums = await memory.digest!({ ranges, blockBytes, sumCount: 6 });
    const blocks = Array.from({ length: 5 }, (_, at) =>
      digestBytes(bytes.subarray(at * blockBytes, (at + 1) * blockBytes), at * blockBytes),
    );
    expect([...sums]).toEqual([0n, ...blocks]);
  });

  it('covers the bytes of a read, for any destinations', async () => {
    const bytes = randomBytes(20_000_003, 7);
    const path = join(folder, 'weights');
    writeFileSync(path, bytes);
    const ranges = fc.array(fc.tuple(fc.nat(5_000), fc.nat(9_000_000)), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(ranges, async (cuts) => {
        let fileOffsetBytes = 0;
        let end = 0;
        const reads: FileRead[] = [];
        const parts: DigestRange[] = [];
        const blockBytes = 2 ** 20;
        let sum = 0;
        for (const [gap, sizeBytes] of cuts) {
          if (fileOffsetBytes + gap + sizeBytes > bytes.length) continue;
          fileOffsetBytes += gap;
          reads.push({ path, fileOffsetBytes, offsetBytes: end, sizeBytes });
          parts.push({ offsetBytes: end, sizeBytes, positionBytes: gap, sum });
          fileOffsetBytes += sizeBytes;
          end += sizeBytes + 64;
          sum += Math.ceil((gap + sizeBytes) / blockBytes);
        }
        using memory = await device.allocateHost(end + 1);
        const digest = { ranges: parts, blockBytes, sumCount: sum + 1 };
        const sums = new BigUint64Array(sum + 1);
        await memory.read(reads, { digest: { ...digest, sums } });
        expect([...sums]).toEqual([...(await memory.digest!(digest))]);
        const [first] = parts;
        if (first === undefined) return;
        const all = addDigests([...sums].slice(0, Math.ceil((first.positionBytes + first.sizeBytes) / blockBytes)));
        const { fileOffsetBytes: from } = reads[0]!;
        expect(all).toBe(digestBytes(bytes.subarray(from, from + first.sizeBytes), first.positionBytes));
      }),
      { numRuns: 12 },
    );
  });

  it('does not change the sums if the read fails', async () => {
    const path = join(folder, 'short');
    writeFileSync(path, randomBytes(1000, 1));
    using memory = await device.allocateHost(4096);
    const sums = new BigUint64Array(1);
    const ranges = [{ offsetBytes: 0, sizeBytes: 2000, positionBytes: 0, sum: 0 }];
    const reads = [
      { path, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 500 },
      { path, fileOffsetBytes: 900, offsetBytes: 900, sizeBytes: 1000 },
    ];
    const read = memory.read(reads, { digest: { ranges, blockBytes: 0, sumCount: 1, sums } });
    await expect(read).rejects.toMatchObject({ code: 'CE_FILE_TRUNCATED' });
    expect(sums[0]).toBe(0n);
  });

  it('digests a file in place, and rejects if the file has become shorter', async () => {
    const bytes = randomBytes(700_001, 9);
    const path = join(folder, 'in-place');
    writeFileSync(path, bytes);
    using memory = await device.mapFile(path);
    const range = { offsetBytes: 1, sizeBytes: 700_000, positionBytes: 1 };
    expect(await digestOf(memory, range)).toBe(digestBytes(bytes.subarray(1), 1));
    truncateSync(path, 1000);
    await expect(digestOf(memory, range)).rejects.toMatchObject({ code: 'CE_FILE_CHANGED', file: path });
  });

  it('rejects ranges outside of the memory, and sums that do not exist', async () => {
    using memory = await memoryOf(new Uint8Array(100));
    const digest = (range: Partial<DigestRange>, sumCount = 1, blockBytes = 0) =>
      memory.digest!({
        ranges: [{ offsetBytes: 0, sizeBytes: 10, positionBytes: 0, sum: 0, ...range }],
        blockBytes,
        sumCount,
      });
    await expect(digest({ offsetBytes: 91 })).rejects.toThrow(RangeError);
    await expect(digest({ rows: 11, pitchBytes: 10 })).rejects.toThrow(RangeError);
    await expect(digest({ rows: 2, pitchBytes: 2 ** 52 })).rejects.toThrow(RangeError);
    await expect(digest({ sum: 1 })).rejects.toThrow(RangeError);
    await expect(digest({ positionBytes: 60 }, 1, 64)).rejects.toThrow(RangeError);
    await expect(digest({ positionBytes: -1 })).rejects.toThrow(RangeError);
    await expect(digest({}, 0)).rejects.toThrow(RangeError);
    expect([...(await digest({ rows: 10, pitchBytes: 10 }))]).toEqual([0n]);
  });

  it('detects every kind of damage, in many trials', async () => {
    const sizeBytes = 64 * 1024 + 12;
    const words = Math.floor(sizeBytes / 4);
    let state = 12345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const kinds: Record<string, (bytes: Uint8Array) => void> = {
      'a flipped bit': (bytes) => {
        bytes[random(sizeBytes)]! ^= 1 << random(8);
      },
      'two flipped bits of equal weight': (bytes) => {
        const bit = 1 << random(8);
        const first = random(words);
        bytes[first * 4 + 3]! ^= bit;
        bytes[((first + 1 + random(words - 1)) % words) * 4 + 3]! ^= bit;
      },
      'two swapped words': (bytes) => {
        const view = new Uint32Array(bytes.buffer, 0, words);
        const first = random(words);
        const second = (first + 1 + random(words - 1)) % words;
        view[first]! ^= view[second]! === view[first]! ? 1 : 0;
        [view[first], view[second]] = [view[second]!, view[first]!];
      },
      'two swapped blocks': (bytes) => {
        const first = random(16) * 4096;
        const second = (first + 4096 * (1 + random(15))) % 65_536;
        const copy = bytes.slice(first, first + 4096);
        bytes.copyWithin(first, second, second + 4096);
        bytes.set(copy, second);
      },
      'a shifted range': (bytes) => {
        const from = random(sizeBytes - 300);
        bytes.copyWithin(from, from + 1 + random(40), from + 250);
      },
      'a range of zeros': (bytes) => {
        const from = random(sizeBytes - 64);
        bytes.fill(0, from, from + 1 + random(64));
      },
      'signs that changed everywhere': (bytes) => {
        for (let at = 1; at < bytes.length; at += 2) bytes[at]! ^= 0x80;
      },
    };
    const bytes = randomBytes(sizeBytes, 11);
    using memory = await memoryOf(bytes);
    const range = { offsetBytes: 0, sizeBytes, positionBytes: 0 };
    const before = await digestOf(memory, range);
    for (const [kind, damage] of Object.entries(kinds)) {
      for (let trial = 0; trial < 300; trial++) {
        const damaged = bytes.slice();
        damage(damaged);
        if (Buffer.compare(damaged, bytes) === 0) continue;
        await memory.write(0, damaged);
        expect(await digestOf(memory, range), kind).not.toBe(before);
      }
    }
  });
});
