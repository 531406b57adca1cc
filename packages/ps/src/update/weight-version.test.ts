import type { RankMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { checkMetas } from '../metas/gathered-metas.ts';
import { commonVersion, derivedVersion, versionOf } from './weight-version.ts';

const metasOf = (digest: bigint | undefined): RankMetas => ({
  ...{ checkpoint: 'a', rank: 0, host: 'h', deviceUuid: 'd', nics: [], regions: [{ sizeBytes: 4 }] },
  tensors: [{ name: 'w', dtype: 'F32', shape: [], sizeBytes: 4, region: 0, offsetBytes: 0 }],
  ...(digest === undefined ? {} : { digests: { blockBytes: 4096, blocks: BigUint64Array.of(digest) } }),
});

const gathered = (digest: bigint | undefined) => checkMetas([metasOf(digest)]);

describe('the version of an update', () => {
  it('is the given version, then that of the checkpoint, then a new one', () => {
    const [agreement, own] = [{ counter: 7 }, { weightVersion: 'own' }];
    expect(versionOf(own, { weightVersion: 'given' }, agreement)).toBe('given');
    expect(versionOf(own, {}, agreement)).toBe('own');
    expect(versionOf({ weightVersion: undefined }, {}, agreement)).toBe('update-7');
  });

  it('is derived from the bytes of a checkpoint, if all of them are digested', () => {
    const version = derivedVersion(gathered(1n));
    expect(version).toMatch(/^digest:[0-9a-f]{32}$/);
    expect(derivedVersion(gathered(1n))).toBe(version);
    expect(derivedVersion(gathered(2n))).not.toBe(version);
    expect(derivedVersion(gathered(undefined))).toBeUndefined();
  });

  it('of an instance is that of all its workers', () => {
    expect(commonVersion(['v1', 'v1'])).toBe('v1');
    expect(commonVersion(['v1', 'v2'])).toBe('unknown');
    expect(commonVersion(['v1', 'unknown'])).toBe('unknown');
    expect(commonVersion(['v1', null])).toBeUndefined();
    expect(commonVersion([])).toBeUndefined();
  });
});
