import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import type { WorkerMessage } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameReader } from './frames.ts';
import { readServerMessage } from './server-message.ts';

interface Line {
  readonly from: 'worker' | 'server';
  readonly message: { readonly type: string };
  readonly frame: string;
}

const file = new URL('../../interface/test-vectors/worker-protocol/bucket-sessions.json', import.meta.url);
const { sessions } = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly sessions: readonly { readonly name: string; readonly lines: readonly Line[] }[];
};

function restore(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(restore);
  if (typeof value !== 'object' || value === null) return value;
  if ('$bin' in value) return new Uint8Array(Buffer.from(String(value.$bin), 'hex'));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, restore(item)]));
}

describe.each(sessions)('the frames of $name', ({ lines }) => {
  it.each(lines)('contain $message.type from the $from', ({ from, message, frame }) => {
    const restored = restore(message);
    const reader = new FrameReader();
    reader.push(new Uint8Array(Buffer.from(frame, 'hex')));
    const decoded = reader.next();
    expect(decoded).toEqual(restored);
    if (from === 'server') expect(readServerMessage(decoded)).toBe(decoded);
    else expect(Buffer.from(encodeFrame(restored as WorkerMessage)).toString('hex')).toBe(frame);
  });
});
