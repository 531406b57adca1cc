import type { ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { tensorList, tensorsByName } from './tensor-list.ts';

const tensor = (name: string, sizeBytes = 4): ParameterMeta => {
  return { name, dtype: 'U8', shape: [sizeBytes], sizeBytes, region: 0, offsetBytes: 0 };
};
const world = (...names: (readonly string[])[]): RankMetas[] =>
  names.map((own, rank) => {
    const place = { checkpoint: 'a', rank, host: 'h', deviceUuid: '', nics: [], regions: [{ sizeBytes: 64 }] };
    return { ...place, tensors: own.map((name) => tensor(name)) };
  });

describe('tensorsByName', () => {
  it('is the same however ranks and files hold the tensors', () => {
    const one = tensorsByName(world(['c', 'a', 'b', 'a.10', 'a.2']));
    const two = tensorsByName(world(['b', 'a.2'], [], ['a', 'a.10', 'c']));
    expect(one.digest).toBe(two.digest);
    for (const { metas } of [one, two]) expect(metas.map(({ name }) => name)).toEqual(['a', 'a.10', 'a.2', 'b', 'c']);
    expect(two.holders.map(({ rank }) => rank)).toEqual([2, 2, 0, 0, 2]);
  });

  it('differs for another shape', () => {
    const metas = world(['a', 'b']);
    const changed = [{ ...metas[0]!, tensors: [tensor('a'), tensor('b', 8)] }];
    expect(tensorsByName(changed).digest).not.toBe(tensorsByName(metas).digest);
  });
});

describe('tensorList', () => {
  it('keeps the order of ranks', () => {
    expect(tensorList(world(['c', 'a'], ['b'])).metas.map(({ name }) => name)).toEqual(['c', 'a', 'b']);
  });
});
