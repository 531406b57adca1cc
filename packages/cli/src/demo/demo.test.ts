import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCheckpoint, tensorBytes } from '@checkpoint-engine/meta';
import { afterAll, describe, expect, it } from 'vitest';
import { compareDigests, isEqual } from './compare-digests.ts';
import { fileDigests } from './file-digests.ts';
import { makeCheckpoint } from './make-checkpoint.ts';
import { modelTensors } from './model-tensors.ts';

const folder = await mkdtemp(join(tmpdir(), 'make-checkpoint-'));
afterAll(() => rm(folder, { recursive: true }));

describe('modelTensors', () => {
  it('fills the size as well as it can, with tensors like those of real checkpoints', () => {
    const tensors = modelTensors(64 * 2 ** 20);
    const totalBytes = tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0);
    expect(totalBytes).toBeLessThanOrEqual(64 * 2 ** 20);
    expect(totalBytes).toBeGreaterThan(56 * 2 ** 20);
    expect(tensors.length).toBeGreaterThan(300);
    expect(new Set(tensors.map(({ dtype }) => dtype)).size).toBeGreaterThanOrEqual(6);
    expect(tensors.some(({ shape }) => shape.length === 0)).toBe(true);
    expect(tensors.some(({ shape }) => shape.includes(0))).toBe(true);
  });

  it('refuses a size that no model fits', () => expect(() => modelTensors(1000)).toThrow(RangeError));
});

describe('makeCheckpoint', () => {
  const sizeBytes = 2 ** 20;

  it('writes shards and an index that agree', async () => {
    const made = await makeCheckpoint({ folder: join(folder, 'a'), sizeBytes, seed: 'a' });
    const read = await readCheckpoint(join(folder, 'a'));
    expect(read.warnings).toEqual([]);
    expect(read.files.length).toBe(4);
    expect(read.totalBytes).toBe(made.sizeBytes);
    expect(read.tensors.length).toBe(made.tensorCount);
  });

  it('gives equal bytes for equal seeds, and different bytes for different seeds', async () => {
    await makeCheckpoint({ folder: join(folder, 'a2'), sizeBytes, seed: 'a' });
    await makeCheckpoint({ folder: join(folder, 'b'), sizeBytes, seed: 'b' });
    const file = 'model-00002-of-00004.safetensors';
    const [a, a2, b] = await Promise.all(['a', 'a2', 'b'].map((name) => readFile(join(folder, name, file))));
    expect(a!.equals(a2!)).toBe(true);
    expect(a!.equals(b!)).toBe(false);
  });
});

describe('compareDigests', () => {
  it('finds every kind of difference', async () => {
    const files = await fileDigests(join(folder, 'a'));
    expect(isEqual(compareDigests(0, files, files))).toBe(true);
    const held = new Map(files);
    const [first, second] = [...files.keys()];
    held.set(first!, '00');
    held.delete(second!);
    held.set('unknown', '11');
    const comparison = compareDigests(1, held, files);
    expect(comparison).toEqual({
      worker: 1,
      equalCount: files.size - 2,
      different: [first],
      missing: [second],
      unexpected: ['unknown'],
    });
    expect(isEqual(comparison)).toBe(false);
  });
});
