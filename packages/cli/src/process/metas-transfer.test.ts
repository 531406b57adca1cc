import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MetasPieces } from '../rank/metas-pieces.ts';
import type { CallRequest } from './messages.ts';
import { loadMetasAt, type MetasCall, PIECE_BYTES, readMetasOf } from './metas-transfer.ts';

const bytes = (sizeBytes: number): Uint8Array => new Uint8Array(randomBytes(sizeBytes));

/** Ranks that hold these metas, and what they were sent. */
function ranksWith(metas: Uint8Array, count = 1) {
  const ranks = Array.from({ length: count }, () => ({ pieces: new MetasPieces(), loaded: [] as Uint8Array[] }));
  const lines: number[] = [];
  let encodings = 0;
  const answer = (rank: (typeof ranks)[number], name: string, request: object): unknown => {
    if ('piece' in request) return rank.pieces.take(...(Object.values(request) as [string, string])) ?? null;
    if ('metas' in request) {
      const { metas: first, fallbacks } = request as CallRequest<'loadMetas'>;
      rank.loaded.push(...[first, ...fallbacks].map((id) => rank.pieces.finish(id)));
      return null;
    }
    return rank.pieces.give(name, (request as CallRequest<'getMetas'>).offsetBytes, () => {
      encodings += 1;
      return { metas, areDigested: true };
    });
  };
  const call: MetasCall = async (name, request) => {
    const answers = ranks.map((rank) => answer(rank, name, request));
    // One line of JSON is one turn of the event loop.
    for (const message of [request, ...answers]) lines.push(JSON.stringify(message).length);
    return answers as never;
  };
  return { ranks, call, lines, encodings: () => encodings };
}

const sizes = [1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 8_000_000];
const MAX_LINE = (4 / 3) * PIECE_BYTES + 200;

describe('metas of large models', () => {
  it.each(sizes)('are read from a rank in lines of bounded size: %i bytes', async (size) => {
    const metas = bytes(size);
    const { call, lines, encodings } = ranksWith(metas);
    expect(Buffer.compare((await readMetasOf(call, { name: 'a' })).metas, metas)).toBe(0);
    expect(Math.max(...lines)).toBeLessThan(MAX_LINE);
    expect(encodings()).toBe(1);
    expect(Buffer.compare((await readMetasOf(call, { name: 'a' })).metas, metas)).toBe(0);
    expect(encodings()).toBe(2);
  });

  it.each(sizes)('are sent to ranks in lines of bounded size, with those of other holders: %i bytes', async (size) => {
    const [metas, other] = [bytes(size), bytes(size + 5)];
    const { call, lines, ranks } = ranksWith(metas, 3);
    await loadMetasAt(call, metas, [other]);
    for (const { loaded } of ranks) {
      expect(loaded.map((each) => each.byteLength)).toEqual([size, size + 5]);
      expect(Buffer.compare(loaded[0]!, metas) || Buffer.compare(loaded[1]!, other)).toBe(0);
    }
    expect(Math.max(...lines)).toBeLessThan(MAX_LINE);
  });

  it('are rejected without any byte', async () => {
    const { call } = ranksWith(bytes(1));
    await expect(loadMetasAt(call, new Uint8Array(0))).rejects.toMatchObject({ code: 'CE_METAS_INVALID' });
  });
});
