import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameCutter } from './frame-cutter.ts';

function frame(payload: Uint8Array, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(4 + payload.byteLength);
  new DataView(bytes.buffer).setUint32(0, payload.byteLength, littleEndian);
  bytes.set(payload, 4);
  return bytes;
}

const payloads = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 12 });
const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 });

describe('FrameCutter', () => {
  it('returns the payloads that were sent, however the stream is split', () => {
    fc.assert(
      fc.property(payloads, cuts, fc.boolean(), (sent, sizes, littleEndian) => {
        const stream = sent.flatMap((payload) => [...frame(payload, littleEndian)]);
        const cutter = new FrameCutter({ limitBytes: 60, littleEndian });
        const found: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = at + sizes[i % sizes.length]!;
          cutter.push(Uint8Array.from(stream.slice(at, next)));
          for (let payload = cutter.next(); payload; payload = cutter.next()) found.push(payload);
          at = next;
        }
        expect(found.map((payload) => [...payload])).toEqual(sent.map((payload) => [...payload]));
        expect(cutter.heldBytes).toBe(0);
      }),
    );
  });

  it('refuses a size above its limit before the payload arrives, and accepts a size at the limit', () => {
    const cutter = new FrameCutter({ limitBytes: 10, littleEndian: false });
    cutter.push(Uint8Array.of(0, 0, 0, 11));
    expect(() => cutter.next()).toThrow(RangeError);
    const other = new FrameCutter({ limitBytes: 10, littleEndian: false });
    other.push(frame(new Uint8Array(10), false));
    expect(other.next()).toHaveLength(10);
  });

  it('does not write to pushed buffers', () => {
    const cutter = new FrameCutter({ limitBytes: 10, littleEndian: true });
    const first = new Uint8Array(16).subarray(0, 4);
    first[0] = 6;
    cutter.push(first);
    expect(cutter.next()).toBeUndefined();
    cutter.push(new Uint8Array(6).fill(9));
    expect([...cutter.next()!]).toEqual([9, 9, 9, 9, 9, 9]);
    expect([...new Uint8Array(first.buffer)].slice(4)).toEqual(new Array(12).fill(0));
  });

  it('copies a frame that arrives byte by byte a few times, not once per byte', () => {
    const cutter = new FrameCutter({ limitBytes: 2 ** 20, littleEndian: true });
    cutter.push(Uint8Array.of(0, 0, 16, 0));
    const { set } = Uint8Array.prototype;
    let copiedBytes = 0;
    Uint8Array.prototype.set = function (this: Uint8Array, from: ArrayLike<number>, at?: number) {
      copiedBytes += from.length;
      set.call(this, from, at);
    };
    try {
      for (let i = 0; i < 2 ** 20; i++) cutter.push(Uint8Array.of(i));
    } finally {
      Uint8Array.prototype.set = set;
    }
    expect(cutter.next()).toHaveLength(2 ** 20);
    expect(copiedBytes).toBeLessThan(4 * 2 ** 20);
  });
});
