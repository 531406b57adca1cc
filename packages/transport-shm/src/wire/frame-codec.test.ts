import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, type Frame, FrameReader } from './frame-codec.ts';

const frames = fc.array(
  fc.record({
    type: fc.string(),
    call: fc.nat(),
    far: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    handle: fc.uint8Array({ maxLength: 300 }),
    keys: fc.array(fc.string()),
  }),
);

describe('FrameReader', () => {
  it('gives the frames that were sent, however the socket cuts them', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 50 })), (sent, cuts) => {
        const stream = sent.flatMap((frame) => [...encodeFrame(frame)]);
        const reader = new FrameReader();
        const found: Frame[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = at + (cuts[i % Math.max(1, cuts.length)] ?? stream.length);
          found.push(...reader.push(Uint8Array.from(stream.slice(at, next))));
          at = next;
        }
        expect(found).toEqual(sent);
      }),
    );
  });

  it('refuses a length that no frame has', () => {
    expect(() => new FrameReader().push(Uint8Array.of(255, 255, 255, 255))).toThrow(RangeError);
  });

  it('refuses what is no frame', () => {
    expect(() => new FrameReader().push(Uint8Array.of(0, 0, 0, 1, 7))).toThrow(RangeError);
    expect(() => new FrameReader().push(Uint8Array.of(0, 0, 0, 1, 0xc1))).toThrow();
  });
});
