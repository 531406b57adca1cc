import { tensorBytes } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { MODEL_NAMES, type ModelName, modelOf } from './models.ts';
import { scaleTensors } from './scale-tensors.ts';
import { totalBytes } from './tensors.ts';

const MIB = 2 ** 20;
const KIB = 2 ** 10;

/** Published values, or values calculated from the published configurations. */
const EXPECTED: Record<ModelName, { tensors: number; bytes: number; largestMiB: number; below64KiB?: number }> = {
  'qwen3-8b': { tensors: 399, bytes: 16_381_470_720, largestMiB: 1187 },
  'qwen3-30b-a3b': { tensors: 18_867, bytes: 61_064_245_248, largestMiB: 593.5 },
  'glm-4.5-air': { tensors: 18_329, bytes: 220_937_661_440, largestMiB: 1184, below64KiB: 285 },
  'qwen3-235b-a22b': { tensors: 36_945, bytes: 470_187_269_120, largestMiB: 1187, below64KiB: 377 },
  'deepseek-v3.1': { tensors: 91_991, bytes: 688_574_839_360, largestMiB: 1767.5, below64KiB: 46_119 },
  'kimi-k2': { tensors: 139_583, bytes: 1_029_173_249_888, largestMiB: 2240, below64KiB: 69_913 },
};

describe.each(MODEL_NAMES)('%s', (name) => {
  const tensors = modelOf(name).tensors();
  const sizes = tensors.map(({ dtype, shape }) => tensorBytes(dtype, shape));

  it('has the tensors and bytes of the published model', () => {
    const { tensors: count, bytes, largestMiB, below64KiB } = EXPECTED[name];
    expect({ count: tensors.length, bytes: totalBytes(tensors) }).toEqual({ count, bytes });
    expect(sizes.reduce((most, size) => Math.max(most, size)) / MIB).toBe(largestMiB);
    if (below64KiB !== undefined) expect(sizes.filter((size) => size < 64 * KIB).length).toBe(below64KiB);
  });

  it('names each tensor once', () => {
    expect(new Set(tensors.map((tensor) => tensor.name)).size).toBe(tensors.length);
  });

  it('fits after scaling, with the same names, dtypes and dimensions', () => {
    const wanted = 8 * 2 ** 30;
    const scaled = scaleTensors(tensors, wanted);
    const identity = (of: typeof tensors) => of.map(({ name, dtype, shape }) => `${name} ${dtype} ${shape.length}`);
    expect(identity(scaled)).toEqual(identity(tensors));
    expect(totalBytes(scaled)).toBeLessThanOrEqual(wanted);
    expect(totalBytes(scaled)).toBeGreaterThan(0.97 * wanted);
  });
});

describe('scaled FP8 matrices', () => {
  const scaled = new Map(scaleTensors(modelOf('kimi-k2').tensors(), 16 * 2 ** 30).map((one) => [one.name, one.shape]));

  it('keep one scale for each block', () => {
    const wrong = [...scaled].filter(([name, shape]) => {
      if (!name.endsWith('_scale_inv')) return false;
      const [rows, columns] = scaled.get(name.replace('_scale_inv', ''))!;
      return shape[0] !== Math.ceil(rows! / 128) || shape[1] !== Math.ceil(columns! / 128);
    });
    expect(wrong).toEqual([]);
  });
});

describe('scaleTensors', () => {
  it('does not change a model that fits', () => {
    const tensors = modelOf('qwen3-8b').tensors();
    expect(scaleTensors(tensors, 2 ** 40)).toEqual(tensors);
  });

  it('reports a size that is too small', () => {
    expect(() => scaleTensors(modelOf('kimi-k2').tensors(), 1000)).toThrow(RangeError);
  });
});
