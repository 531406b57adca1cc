import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FramingError, MessageReader, MessageWriter } from './framing.ts';
import { PIECE_BYTES, toPayload } from './payload.ts';

// Sizes around every edge: empty, small, the copying limit, one piece, several pieces.
const size = fc.oneof(
  fc.nat(200),
  fc.constantFrom(0, 65_535, 65_536, 65_537, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7),
);

const asNumbered = (value: unknown): { n: number } => value as { n: number };

test('any values survive framing, in pieces of bounded size', () => {
  fc.assert(
    fc.property(fc.array(fc.array(size, { maxLength: 6 }), { minLength: 1, maxLength: 3 }), (messages) => {
      const writer = new MessageWriter();
      const reader = new MessageReader(asNumbered);
      messages.forEach((sizes, n) => {
        const values = sizes.map((bytes, i) => new Uint8Array(bytes).fill(n + i + 1));
        let received: ReturnType<typeof reader.read>;
        for (const frames of writer.write({ n }, toPayload(values))) {
          expect(received).toBeUndefined();
          for (const frame of frames) expect(frame.byteLength).toBeLessThanOrEqual(PIECE_BYTES);
          received = reader.read(frames);
        }
        expect(received!.message).toEqual({ n });
        expect(received!.values.length).toBe(values.length);
        expect(received!.values.every((value, i) => Buffer.compare(value, values[i]!) === 0)).toBe(true);
      });
    }),
    { numRuns: 60 },
  );
});

test('a beat overtakes the pieces of a message without harm', () => {
  const writer = new MessageWriter();
  const reader = new MessageReader(asNumbered);
  const value = new Uint8Array(3 * PIECE_BYTES).fill(5);
  let received: ReturnType<typeof reader.read>;
  for (const frames of writer.write({ n: 1 }, toPayload([value]))) {
    received = reader.read(frames);
    for (const beat of writer.beat()) expect(reader.read(beat)).toBeUndefined();
  }
  expect(Buffer.compare(received!.values[0]!, value)).toBe(0);
});

test('a lost message is detected at the next one', () => {
  const writer = new MessageWriter();
  const reader = new MessageReader(asNumbered);
  const [first, , third] = [1, 2, 3].map((n) => [...writer.write({ n })][0]!);
  expect(reader.read(first!)?.message).toEqual({ n: 1 });
  expect(() => reader.read(third!)).toThrow(FramingError);
});

test('invalid messages cause a FramingError', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }), (frames) => {
      try {
        new MessageReader(asNumbered).read(frames);
      } catch (error) {
        expect(error).toBeInstanceOf(FramingError);
      }
    }),
  );
});
