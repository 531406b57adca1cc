import type { RankMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { assignRoles, type RolesInput } from './roles.ts';

const owner = (rank: number, isReadable = true): RankMetas => ({
  checkpoint: 'a',
  rank,
  host: 'h',
  deviceUuid: `d${rank}`,
  nics: [],
  ...(isReadable && { p2pAddress: `p${rank}` }),
  regions: [{ sizeBytes: 4, ...(isReadable && { remote: { address: '0', sizeBytes: 4, key: 'k' } }) }],
  tensors: [{ name: `t${rank}`, dtype: 'U8', shape: [4], sizeBytes: 4, region: 0, offsetBytes: 0 }],
});

function roles(input: Partial<RolesInput> = {}) {
  return assignRoles({
    members: [0, 1, 2, 3],
    ranks: undefined,
    metas: [owner(0), owner(1), owner(2), owner(3)],
    isForeign: false,
    hasBroadcast: true,
    hasP2P: true,
    inferenceParallelSize: undefined,
    ...input,
  });
}

describe('assignRoles', () => {
  const all = [0, 1, 2, 3];
  it.each<[string, Partial<RolesInput>, readonly number[], readonly number[], boolean]>([
    ['all ranks send and receive', {}, all, all, false],
    ['no ranks are all ranks', { ranks: [] }, all, all, false],
    ['some receive, and owners with readable memory stay out of the group', { ranks: [2, 1, 1] }, [1, 2], [1, 2], true],
    ['without P2P owners join the group to send', { ranks: [1], hasP2P: false }, [1], all, false],
    [
      'without P2P ranks that own nothing stay out',
      { ranks: [1], hasP2P: false, metas: [owner(2)] },
      [1],
      [1, 2],
      false,
    ],
    ['an owner that cannot be read from sends', { ranks: [1], metas: [owner(0, false), owner(2)] }, [1], [0, 1], true],
    ['one rank that reads needs no group', { ranks: [3] }, [3], [], true],
    [
      'one rank that owns everything needs no other rank',
      { ranks: [3], metas: [owner(3, false)], hasP2P: false },
      [3],
      [],
      false,
    ],
    ['without broadcast each reads for itself', { hasBroadcast: false }, all, [], true],
    ['a world that joins broadcasts what it reads', { isForeign: true }, all, all, true],
    [
      'and without broadcast each reads for itself',
      { isForeign: true, hasBroadcast: false, ranks: [0, 1] },
      [0, 1],
      [],
      true,
    ],
  ])('%s', (_, input, receivers, group, reads) => {
    expect(roles(input)).toEqual({ receivers, group, reads });
  });

  it.each<[string, Partial<RolesInput>, string, RegExp]>([
    ['neither transport', { hasBroadcast: false, hasP2P: false }, 'CE_CONFIG_INVALID', /needs a broadcast transport/],
    ['a world that joins without P2P', { isForeign: true, hasP2P: false }, 'CE_CONFIG_INVALID', /no P2P transport/],
    [
      'an owner without address',
      { isForeign: true, metas: [owner(7, false)] },
      'CE_METAS_INVALID',
      /Rank 7 .* no P2P address/,
    ],
    [
      'an owner that can neither be read from nor send',
      { ranks: [1], hasBroadcast: false, metas: [owner(0, false), owner(1)] },
      'CE_CONFIG_INVALID',
      /Ranks 0 own weights that peers cannot read/,
    ],
    [
      'a region that is smaller than what it holds',
      {
        isForeign: true,
        metas: [{ ...owner(0), regions: [{ sizeBytes: 4, remote: { address: '0', sizeBytes: 3, key: '' } }] }],
      },
      'CE_METAS_INVALID',
      /could not share/,
    ],
  ])('refuses %s', (_, input, code, message) => {
    expect(() => roles(input)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
  });

  it('refuses ranks of another world, and part of an inference instance', () => {
    expect(() => roles({ ranks: [1, 4] })).toThrow(RangeError);
    expect(() => roles({ ranks: [0, 1, 2], inferenceParallelSize: 2 })).toThrow(/leaves out rank 3/);
    expect(roles({ ranks: [2, 3], inferenceParallelSize: 2 }).receivers).toEqual([2, 3]);
    expect(() => roles({ inferenceParallelSize: 0 })).toThrow(RangeError);
  });
});
