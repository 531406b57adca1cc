import { expect, test } from 'vitest';
import { z85 } from './z85.ts';

test('z85 encodes the vector of its specification', () => {
  expect(z85(Uint8Array.of(0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b))).toBe('HelloWorld');
  expect(() => z85(new Uint8Array(3))).toThrow(RangeError);
});
