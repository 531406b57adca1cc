import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFrame, FrameDecoder } from './frames.ts';

describe('frames', () => {
  test('do not change, however the stream is split', () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue(), { maxLength: 8 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
        (all, cuts) => {
          const stream = Buffer.concat(all.map(encodeFrame));
          const decoder = new FrameDecoder(1 << 20);
          const found: unknown[] = [];
          for (let at = 0; at < stream.length; ) {
            const size = cuts.next().value as number;
            found.push(...decoder.push(stream.subarray(at, at + size)));
            at += size;
          }
          expect(JSON.stringify(found)).toBe(JSON.stringify(all));
        },
      ),
    );
  });

  test('that are too long, or not JSON, are refused', () => {
    expect(() => [...new FrameDecoder(10).push(encodeFrame('0123456789'))]).toThrow(RangeError);
    expect(() => [...new FrameDecoder(10).push(new Uint8Array([1, 0, 0, 0, 123]))]).toThrow(SyntaxError);
  });

  test('are subject to the limit at their arrival', () => {
    const decoder = new FrameDecoder(10);
    const messages = decoder.push(Buffer.concat([encodeFrame(1), encodeFrame('0123456789')]));
    expect(messages.next().value).toBe(1);
    decoder.maxBytes = 100;
    expect(messages.next().value).toBe('0123456789');
  });
});
