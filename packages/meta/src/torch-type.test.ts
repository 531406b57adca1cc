import { expect, test } from 'vitest';
import type { DTYPES } from './dtype.ts';
import { torchType } from './torch-type.ts';

test('torchType: names that differ from the safetensors ones', () => {
  const name = (dtype: (typeof DTYPES)[number]): string => torchType({ name: 't', dtype, shape: [2] }).dtype;
  expect(name('F8_E4M3')).toBe('float8_e4m3fn');
  expect(name('F8_E5M2')).toBe('float8_e5m2');
  expect(name('F8_E8M0')).toBe('float8_e8m0fnu');
  expect(name('F4')).toBe('float4_e2m1fn_x2');
  expect(name('C64')).toBe('complex64');
  expect(name('U16')).toBe('uint16');
});

test('torchType: only the last dimension of F4 differs', () => {
  expect(torchType({ name: 't', dtype: 'F4', shape: [3, 8] }).shape).toEqual([3, 4]);
  expect(torchType({ name: 't', dtype: 'U8', shape: [3, 8] }).shape).toEqual([3, 8]);
  for (const shape of [[], [4, 3]]) {
    expect(() => torchType({ name: 'odd', dtype: 'F4', shape })).toThrow(/"odd" of dtype F4 .* even last dimension/);
  }
});
