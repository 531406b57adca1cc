import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { parseMessage, readLines } from './json-lines.ts';

describe('readLines', () => {
  it('joins lines from any pieces, including characters of several bytes', async () => {
    const stream = new PassThrough();
    const lines: string[] = [];
    const ended = readLines(stream, (line) => lines.push(line));
    const bytes = new TextEncoder().encode('one\ntwö\n\nlast');
    for (const byte of bytes) stream.write(Uint8Array.of(byte));
    stream.end();
    await ended;
    expect(lines).toEqual(['one', 'twö', '', 'last']);
  });

  it('resolves when the stream is destroyed', async () => {
    const stream = new PassThrough();
    const ended = readLines(stream, () => {});
    stream.destroy(new Error('gone'));
    await ended;
  });
});

describe('parseMessage', () => {
  it('accepts only objects with a type', () => {
    expect(parseMessage('{"type":"opened"}')).toEqual({ type: 'opened' });
    for (const line of ['', 'NCCL version 2.28', '{"a":1}', '{oops', '[1]']) expect(parseMessage(line)).toBeUndefined();
  });
});
