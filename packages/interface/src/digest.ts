/**
 * The digest of tensor bytes, version 1. It detects accidents, not attacks: an attacker can change bytes without
 * changing the digest. `docs/digests.md` defines it, and `test-vectors/digests.json` has vectors for other
 * implementations.
 *
 * A tensor is a sequence of little-endian 32-bit words; missing bytes of the last word are zeros. Its digest is the sum
 * modulo 2^64 of `word[i] * wordKey(i mod 1024) * blockKey(floor(i / 1024))`. So the digest of a tensor is the sum of
 * the digests of its parts, for any division, and each part is digested independently.
 */
export const DIGEST_VERSION = 1;

/** Words that share one block key. */
const BLOCK_WORDS = 1024;
const WORD_BYTES = 4;
const BLOCK_BYTES = BLOCK_WORDS * WORD_BYTES;
const MASK = 2n ** 64n - 1n;
/** Half a word times a key has 48 bits, so the sum of this many products is exact in a double. */
const EXACT_PRODUCTS = 32;

const WORD_KEYS: Uint32Array = Uint32Array.from({ length: BLOCK_WORDS }, (_, index) => mix32(index + 0x9e3779b9) | 1);

/**
 * Digests bytes of a tensor.
 *
 * @param bytes Contiguous bytes of the tensor.
 * @param positionBytes Where they begin, from the start of the tensor.
 * @returns 0 up to, not including, 2^64.
 */
export function digestBytes(bytes: Uint8Array, positionBytes = 0): bigint {
  if (!Number.isSafeInteger(positionBytes) || positionBytes < 0) {
    throw new RangeError(`positionBytes is ${positionBytes}, expected a whole number of bytes, 0 or more`);
  }
  let sum = 0n;
  for (let from = 0; from < bytes.length; ) {
    const position = positionBytes + from;
    const to = Math.min(bytes.length, from + BLOCK_BYTES - (position % BLOCK_BYTES));
    sum += blockKey(Math.floor(position / BLOCK_BYTES)) * digestInBlock(bytes, from, to, position % BLOCK_BYTES);
    from = to;
  }
  return sum & MASK;
}

/** Adds digests of parts of one tensor: the digest of all of them. */
export function addDigests(digests: Iterable<bigint>): bigint {
  let sum = 0n;
  for (const digest of digests) sum += digest;
  return sum & MASK;
}

/** A digest as text: 16 hexadecimal digits. */
export function digestText(digest: bigint): string {
  return digest.toString(16).padStart(16, '0');
}

/** Bytes of one block, without its key. @param position From the start of the block. */
function digestInBlock(bytes: Uint8Array, from: number, to: number, position: number): bigint {
  let sum = 0n;
  let low = 0;
  let high = 0;
  let products = 0;
  for (let at = from; at < to; ) {
    const place = position + at - from;
    const skipped = place % WORD_BYTES;
    const end = Math.min(to, at + WORD_BYTES - skipped);
    let word = 0;
    for (let byte = skipped; at < end; byte++) word |= bytes[at++]! << (8 * byte);
    const key = WORD_KEYS[Math.floor(place / WORD_BYTES)]!;
    low += (word & 0xffff) * key;
    high += (word >>> 16) * key;
    if (++products < EXACT_PRODUCTS && at < to) continue;
    sum += BigInt(low) + (BigInt(high) << 16n);
    low = 0;
    high = 0;
    products = 0;
  }
  return sum;
}

function blockKey(block: number): bigint {
  return mix64((BigInt(block) + 0x9e3779b97f4a7c15n) & MASK) | 1n;
}

function mix32(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

function mix64(value: bigint): bigint {
  let bits = value;
  bits = ((bits ^ (bits >> 33n)) * 0xff51afd7ed558ccdn) & MASK;
  bits = ((bits ^ (bits >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK;
  return bits ^ (bits >> 33n);
}
