import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, type Frame, FrameReader, MEMBER_LIMITS } from './frame-codec.ts';

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
  it('returns the frames that were sent, however the socket splits them', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 50 })), (sent, cuts) => {
        const stream = sent.flatMap((frame) => [...encodeFrame(frame)]);
        const reader = new FrameReader(MEMBER_LIMITS);
        const found: Frame[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = at + (cuts[i % Math.max(1, cuts.length)] ?? stream.length);
          found.push(...read(reader, Uint8Array.from(stream.slice(at, next))));
          at = next;
        }
        expect(found).toEqual(sent);
      }),
    );
  });

  it.each<[string, readonly number[]]>([
    ['a length that no frame has', [255, 255, 255, 255]],
    ['a length that no hello has', [0, 0, 4, 1]],
    ['a payload that is not a frame', [0, 0, 0, 1, 7]],
    ['a payload that is not msgpack', [0, 0, 0, 1, 0xc1]],
    ['a list that declares more values than follow', [0, 0, 0, 5, 0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['nested lists', [0, 0, 0, 3, 0x91, 0x91, 0x90]],
    ['a map with a prototype', [0, 0, 0, 13, 0x81, 0xa9, ...new TextEncoder().encode('__proto__'), 0x80, 0xc0]],
  ])('refuses %s', (_, bytes) => {
    expect(() => read(new FrameReader(), Uint8Array.from(bytes))).toThrow(RangeError);
  });
});

function read(reader: FrameReader, bytes: Uint8Array): Frame[] {
  reader.push(bytes);
  const found: Frame[] = [];
  for (let frame = reader.next(); frame; frame = reader.next()) found.push(frame);
  return found;
}
