import { CheckpointEngineError, type Store } from '@checkpoint-engine/interface';
import { metasDigest, type RankMetas } from '@checkpoint-engine/meta';
import { connectStore, startStoreServer } from '@checkpoint-engine/store';
import { afterEach, describe, expect, it } from 'vitest';
import { gatherMetas } from './gather-metas.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function world(worldSize: number): Promise<Store[]> {
  const server = await startStoreServer({ port: 0, worldSize });
  open.push(server);
  const { address } = server;
  return await Promise.all(
    Array.from({ length: worldSize }, async (_, rank) => {
      const store = await connectStore({ address, rank, worldSize, timeoutMs: 5_000 });
      open.push(store);
      return store;
    }),
  );
}

const owner = (rank: number, ...names: string[]): RankMetas => ({
  checkpoint: 'c',
  rank,
  host: 'h',
  deviceUuid: `HOST-0-${rank}`,
  nics: [],
  regions: [{ sizeBytes: names.length }],
  tensors: names.map((name, at) => ({ name, dtype: 'U8', shape: [1], sizeBytes: 1, region: 0, offsetBytes: at })),
});

const gather = (stores: readonly Store[], own: (rank: number) => RankMetas) =>
  Promise.all(stores.map((store) => gatherMetas(store, 'c', () => own(store.rank))));

describe('gatherMetas', () => {
  it('returns the metas of all ranks to every rank, in rank order', async () => {
    const stores = await world(3);
    const wanted = [owner(0, 'a', 'b'), owner(1), owner(2, 'c')];
    for (const { metas, digest } of await gather(stores, (rank) => wanted[rank]!)) {
      expect(metas).toEqual(wanted);
      expect(digest).toBe(metasDigest(wanted));
    }
  });

  it('decodes unchanged metas once, and changed metas again', async () => {
    const stores = await world(2);
    const [first, same] = await gather(stores, (rank) => owner(rank, `t${rank}`));
    expect(same).toBe(first);
    const [again] = await gather(stores, (rank) => owner(rank, `t${rank}`));
    expect(again).toBe(first);
    const [changed] = await gather(stores, (rank) => owner(rank, `t${rank}`, `u${rank}`));
    expect(changed!.digest).not.toBe(first!.digest);
    expect(changed!.metas[1]).toEqual(owner(1, 't1', 'u1'));
  });

  it('distinguishes digests of bytes from metas that are decoded once', async () => {
    const stores = await world(2);
    const withDigest = (rank: number, digest: bigint): RankMetas => {
      const digests = { blockBytes: 4096, blocks: BigUint64Array.of(digest) };
      return { ...owner(rank, `t${rank}`), digests };
    };
    const [first] = await gather(stores, (rank) => withDigest(rank, BigInt(rank) + 5n));
    const [second] = await gather(stores, (rank) => withDigest(rank, BigInt(rank) + 7n));
    expect(second!.metas).toBe(first!.metas);
    expect([...first!.digests.values()].map(({ blocks }) => [...blocks])).toEqual([[5n], [6n]]);
    expect([...second!.digests.values()].map(({ blocks }) => [...blocks])).toEqual([[7n], [8n]]);
    const [some] = await gather(stores, (rank) => (rank === 0 ? owner(rank, 't0') : withDigest(rank, 9n)));
    expect([...some!.digests.keys()]).toEqual([1]);
    const wrong = { blockBytes: 4096, blocks: new BigUint64Array(3) };
    const outcomes = await Promise.allSettled(
      stores.map((store) =>
        gatherMetas(store, 'c', () => ({ ...owner(store.rank, `t${store.rank}`), digests: wrong })),
      ),
    );
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'CE_METAS_INVALID' } });
  });

  it.each([0, 2])('rejects on all ranks with the error of rank %d', async (failing) => {
    const stores = await world(3);
    const outcomes = await Promise.allSettled(
      stores.map((store) =>
        gatherMetas(store, 'c', () => {
          if (store.rank === failing) throw new CheckpointEngineError('CE_CHECKPOINT_UNKNOWN', 'not here', 'register');
          return owner(store.rank, `t${store.rank}`);
        }),
      ),
    );
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ reason: { code: 'CE_CHECKPOINT_UNKNOWN', rank: failing, message: 'not here' } });
    }
    const [after] = await gather(stores, (rank) => owner(rank, `t${rank}`));
    expect(after!.metas).toHaveLength(3);
  });

  it('rejects on all ranks if two own a tensor, and names both', async () => {
    const stores = await world(2);
    const outcomes = await Promise.allSettled(
      stores.map((store) => gatherMetas(store, 'c', () => owner(store.rank, 'same'))),
    );
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ reason: { code: 'CE_TENSOR_DUPLICATE', tensor: 'same' } });
    }
  });
});
