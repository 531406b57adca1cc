import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { commandBytes, curveServerGreeting, messageBytes, nullGreeting } from '../zmtp/frames.ts';
import { isCurveHello, ServerFrames } from './curve-frames.ts';

const greeting = curveServerGreeting();
const hello = Buffer.concat([greeting, commandBytes('HELLO', new Uint8Array(194))]);
const welcome = commandBytes('WELCOME', new Uint8Array(160));
const ready = commandBytes('READY', new Uint8Array(80));
const message = (sizeBytes: number): Buffer => Buffer.concat(messageBytes([new Uint8Array(sizeBytes)]));

describe('the first bytes of a client', () => {
  test('are complete with the last byte of HELLO', () => {
    for (let size = 0; size < hello.length; size++) expect(isCurveHello(hello.subarray(0, size))).toBe(false);
    expect(isCurveHello(hello)).toBe(true);
  });

  test.each<[string, Uint8Array]>([
    ['text', Buffer.from('GET / HTTP/1.1\r\n')],
    ['a greeting without encryption', nullGreeting()],
    ['READY', Buffer.concat([greeting, commandBytes('READY', new Uint8Array(194))])],
    ['a HELLO of another size', Buffer.concat([greeting, commandBytes('HELLO', new Uint8Array(1_000))])],
    ['a message', Buffer.concat([greeting, message(200)])],
  ])('are rejected if they are %s', (_, bytes) => {
    expect(() => isCurveHello(bytes)).toThrow(RangeError);
  });
});

describe('the frames of a server', () => {
  const heartbeats = [message(38), message(40), message(64)];

  test.each([
    ['handshake', [welcome]],
    ['ready', [welcome, ready]],
    ['ready', [welcome, ready, ...heartbeats]],
    ['answered', [welcome, ready, ...heartbeats, message(65)]],
    ['answered', [welcome, ready, message(4_000_000)]],
  ] as const)('%s, however they are cut, and no byte is lost', (step, frames) => {
    const bytes = Buffer.concat([greeting, ...frames]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 30 }), (sizes) => {
        const server = new ServerFrames();
        const passed: Uint8Array[] = [];
        let at = 0;
        for (const size of [...sizes, bytes.length]) {
          if (at < bytes.length) passed.push(server.read(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(server.step).toBe(step);
        expect(Buffer.concat(passed).equals(bytes.subarray(greeting.length))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});
