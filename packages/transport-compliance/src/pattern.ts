import { Buffer } from 'node:buffer';

/**
 * Bytes that depend only on `(root, seed)` and the position, so that every process can compute the expected value of
 * every byte. Two patterns differ at nearly every byte, and so does a pattern from a shifted copy of itself.
 */
export interface Pattern {
  readonly root: number;
  readonly seed: number;
}

/** The content of every byte of a buffer that no test has written. */
export const guardPattern: Pattern = { root: -1, seed: 0x5eed };

/** The first byte that differs from its expected value. */
export interface Mismatch {
  readonly position: number;
  readonly expected: number;
  readonly found: number;
}

function mix(value: number): number {
  let x = Math.imul(value ^ (value >>> 15), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** Fills all of `into` with the pattern's bytes from `position` on. */
export function writePattern(pattern: Pattern, position: number, into: Uint8Array): void {
  const key = mix(Math.imul(pattern.root + 2, 0x27d4eb2f) ^ mix(pattern.seed + 1));
  const firstWord = Math.floor(position / 4);
  const skip = position - firstWord * 4;
  const words = new Uint32Array(Math.ceil((skip + into.length) / 4));
  for (let i = 0; i < words.length; i++) words[i] = mix(Math.imul(firstWord + i + 1, 0x9e3779b1) ^ key);
  into.set(new Uint8Array(words.buffer, skip, into.length));
}

/** Compares all of `bytes` with the pattern from `position` on. */
export function findMismatch(pattern: Pattern, position: number, bytes: Uint8Array): Mismatch | undefined {
  const expected = new Uint8Array(bytes.length);
  writePattern(pattern, position, expected);
  if (Buffer.compare(expected, bytes) === 0) return undefined;
  const index = expected.findIndex((byte, i) => byte !== bytes[i]);
  return { position: position + index, expected: expected[index]!, found: bytes[index]! };
}
