import { describe, expect, it } from 'vitest';
import type { UpdateConfig } from './update-config.ts';
import { updateWarnings } from './update-warnings.ts';

const warn = (bucketBytes: number | undefined, metasFile?: string, sleepMs = 0): string[] =>
  updateWarnings({ delivery: { updates: [{ bucketBytes }], metasFile }, sleepMs } as unknown as UpdateConfig);

describe('updateWarnings', () => {
  it.each([[1], [8], [999]])('recognizes that --bucket-size %i lacks its unit', (bytes) => {
    expect(warn(bytes)).toEqual([expect.stringContaining(`such as ${bytes}GiB`)]);
  });

  it('warns about small buckets only', () => {
    expect(warn(4096)).toEqual([expect.stringContaining('slow')]);
    expect([warn(undefined), warn(2 ** 20)]).toEqual([[], []]);
  });

  it('warns about metas that cannot be used', () => {
    expect(warn(undefined, '/m')).toEqual([expect.stringContaining('--sleep-time')]);
    expect(warn(undefined, '/m', 1_000)).toEqual([]);
  });
});
