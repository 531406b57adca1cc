import { readFile, writeFile } from 'node:fs/promises';
import { env } from 'node:process';
import { checkNeeds, checkPlaces, decodeNeeds, decodePlaces } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { columnVectors, pullVectors, sessionVectors } from './pull-vectors.ts';

const folder = new URL('../../interface/test-vectors/worker-protocol/', import.meta.url);

const bytes = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const columns = (hex: Record<string, string>): never =>
  Object.fromEntries(Object.entries(hex).map(([name, value]) => [name, bytes(value)])) as never;

async function load(name: string): Promise<never> {
  return JSON.parse(await readFile(new URL(name, folder), 'utf8')) as never;
}

describe('the test vectors of the pull', () => {
  it.each([
    ['columns.json', columnVectors],
    ['pulls.json', pullVectors],
    ['sessions.json', sessionVectors],
  ])('%s is the output of the code (WRITE_VECTORS=1 writes it again)', async (name, make) => {
    const text = `${JSON.stringify(make(), null, 1)}\n`;
    if (env.WRITE_VECTORS === '1') await writeFile(new URL(name, folder), text);
    expect(await load(name)).toEqual(JSON.parse(text));
  });

  it('are accepted and refused by the checks accordingly', async () => {
    const { sizes, regions, needs, places } = (await load('columns.json')) as {
      sizes: number[];
      regions: { id: number; sizeBytes: number }[];
      needs: { name: string; columns: Record<string, string>; error?: string }[];
      places: { name: string; columns: Record<string, string>; error?: string }[];
    };
    const regionSizes = new Map(regions.map(({ id, sizeBytes }) => [id, sizeBytes]));
    const refused = (check: () => void): boolean => {
      try {
        check();
        return false;
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
        return true;
      }
    };
    for (const one of needs) {
      expect([one.name, refused(() => checkNeeds(decodeNeeds(columns(one.columns)), sizes))]).toEqual([
        one.name,
        one.error !== undefined,
      ]);
    }
    for (const one of places) {
      const check = (): void => checkPlaces(decodePlaces(columns(one.columns)), sizes, regionSizes);
      expect([one.name, refused(check)]).toEqual([one.name, one.error !== undefined]);
    }
  });
});
