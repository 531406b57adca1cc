import type { RankMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { derivedVersion } from '../metas/derived-version.ts';
import { checkMetas } from '../metas/gathered-metas.ts';
import type { Proposal } from './agreement.ts';
import { commonVersion, versionOf } from './weight-version.ts';

const metasOf = (digest: bigint | undefined): RankMetas => ({
  ...{ checkpoint: 'a', rank: 0, host: 'h', deviceUuid: 'd', nics: [], regions: [{ sizeBytes: 4 }] },
  tensors: [{ name: 'w', dtype: 'F32', shape: [], sizeBytes: 4, region: 0, offsetBytes: 0 }],
  ...(digest === undefined ? {} : { digests: { blockBytes: 4096, blocks: BigUint64Array.of(digest) } }),
});

const gathered = (digest: bigint | undefined) => checkMetas([metasOf(digest)]);

describe('the version of an update', () => {
  const agreementOf = (...digests: boolean[]) => ({
    counter: 7,
    proposals: new Map(digests.map((each, rank) => [rank, { digests: each } as Proposal])),
  });

  it('is the given version, then that of the checkpoint, then a new one', () => {
    const [agreement, own] = [agreementOf(true, false), { weightVersion: 'own', isForeign: false }];
    expect(versionOf(own, { weightVersion: 'given' }, agreement).known).toBe('given');
    expect(versionOf(own, {}, agreement).known).toBe('own');
    expect(versionOf({ ...own, weightVersion: undefined }, {}, agreement).known).toBe('update-7');
  });

  it('is known at the end if all ranks digest what they read, and a known version stays', async () => {
    const late = versionOf({ weightVersion: undefined, isForeign: false }, {}, agreementOf(true, true));
    expect(late.known).toBeUndefined();
    late.settle('digest:1');
    expect(late.known).toBe('digest:1');
    await expect(late.settled).resolves.toBe('digest:1');
    const given = versionOf({ weightVersion: undefined, isForeign: false }, { weightVersion: 'v' }, agreementOf(true));
    given.settle('other');
    await expect(given.settled).resolves.toBe('v');
    // A world that joins does not read the files of the owners.
    expect(versionOf({ weightVersion: undefined, isForeign: true }, {}, agreementOf(true)).known).toBe('update-7');
  });

  it('is derived from the bytes of a checkpoint, if all of them are digested', () => {
    const version = derivedVersion(gathered(1n));
    expect(version).toMatch(/^digest:[0-9a-f]{32}$/);
    expect(derivedVersion(gathered(1n))).toBe(version);
    expect(derivedVersion(gathered(2n))).not.toBe(version);
    expect(derivedVersion(gathered(undefined))).toBeUndefined();
    // Digests of the same metas are compared by their values.
    const { metas } = gathered(1n);
    const versionOfDigest = (...blocks: bigint[]) =>
      derivedVersion({ metas, digests: new Map([[0, { blockBytes: 4096, blocks: BigUint64Array.from(blocks) }]]) });
    for (const digest of [1n, 2n, 3n, 1n, 4n, 5n, 6n, 1n, 2n]) {
      expect(versionOfDigest(digest)).toBe(derivedVersion(gathered(digest)));
    }
  });

  it('of an instance is the version of all its workers', () => {
    expect(commonVersion(['v1', 'v1'])).toBe('v1');
    expect(commonVersion(['v1', 'v2'])).toBe('unknown');
    expect(commonVersion(['v1', 'unknown'])).toBe('unknown');
    expect(commonVersion(['v1', null])).toBeUndefined();
    expect(commonVersion([])).toBeUndefined();
  });
});
