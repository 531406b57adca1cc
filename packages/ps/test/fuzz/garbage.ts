import { Buffer } from 'node:buffer';
import { encode } from '@msgpack/msgpack';

/** Random numbers that are equal for equal seeds. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 and up, below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, 0 and up, below `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }

  isLucky(chance: number): boolean {
    return this.next() < chance;
  }

  bytes(maxBytes: number): Uint8Array {
    return Uint8Array.from({ length: this.below(maxBytes + 1) }, () => this.below(256));
  }
}

const long = 'x'.repeat(5_000);
const oddValues: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 0.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e300, Number.NaN, Number.POSITIVE_INFINITY],
  ...['', 'hello', '__proto__', 'toString', '\u001f', long, {}, { toString: 1 }, { type: 'hello' }, { t: 'hello' }],
  ...[[], [[]], [1, 2, 3], Array(300).fill(0), new Uint8Array(0), new Uint8Array(32), new Uint8Array(3_000)],
];

/** Nested lists or maps, each of which declares more elements than follow. */
function bomb(random: Random): Uint8Array {
  const head = random.pick([
    [0xdd, 0x01, 0xc9, 0xc3, 0x80],
    [0xdf, 0x01, 0xc9, 0xc3, 0x80],
    [0xdc, 0xff, 0xff],
    [0x91],
    [0x81, 0xa1, 0x61],
    [0xc6, 0xff, 0xff, 0xff, 0xff],
    [0xdb, 0x7f, 0xff, 0xff, 0xff],
    [0xc9, 0xff, 0xff, 0xff, 0xff, 0x05],
  ]);
  return Uint8Array.from(Array.from({ length: 1 + random.below(60) }, () => head).flat());
}

/** A message with changed, added and missing fields. */
function changed(random: Random, message: object): object {
  const copy: Record<string, unknown> = { ...message };
  for (let changes = random.below(4); changes > 0; changes--) {
    const name = random.pick([...Object.keys(copy), 'more', 'type', 't', 'error', 'id']);
    if (random.isLucky(0.2)) delete copy[name];
    else copy[name] = random.pick(oddValues);
  }
  return copy;
}

function flipped(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  for (let flips = random.below(4); flips >= 0 && copy.length > 0; flips--)
    copy[random.below(copy.length)] = random.below(256);
  return random.isLucky(0.2) ? copy.subarray(0, random.below(copy.length + 1)) : copy;
}

/** A message on the wire: valid, nearly valid, or arbitrary. */
export function garbled(
  random: Random,
  messages: readonly object[],
  wrap = (message: object): unknown => message,
): Uint8Array {
  const kind = random.next();
  if (kind < 0.1) return random.bytes(300);
  if (kind < 0.2) return bomb(random);
  const message = random.pick(messages);
  const bytes = encode(wrap(kind < 0.3 ? message : changed(random, message)), { ignoreUndefined: true });
  return kind < 0.6 ? flipped(random, bytes) : bytes;
}

/** A payload with a size prefix, which is sometimes wrong. */
export function sized(random: Random, payload: Uint8Array, littleEndian: boolean): Uint8Array {
  const bytes = Buffer.alloc(4 + payload.length);
  const size = random.isLucky(0.02) ? random.pick([0, 1, payload.length + 1, 2 ** 31, 2 ** 32 - 1]) : payload.length;
  if (littleEndian) bytes.writeUInt32LE(size);
  else bytes.writeUInt32BE(size);
  bytes.set(payload, 4);
  return bytes;
}
