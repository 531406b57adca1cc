// Some ranks of a world, each with its own connection to the store: gathers on request.
import { createHash } from 'node:crypto';
import process from 'node:process';
import type { Store } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import { encodeRankMetas } from '@checkpoint-engine/meta';
import { planBuckets } from '@checkpoint-engine/planner';
import { connectStore, gatherMetas, startStoreServer } from '@checkpoint-engine/ps';
import { kimiK2Metas } from './kimi-k2-metas.ts';

/** The only argument from the parent, as JSON. */
export interface GatherTask {
  readonly port: number;
  readonly worldSize: number;
  readonly fromRank: number;
  readonly toRank: number;
  readonly rounds: number;
}

/** Figures of one round from the ranks of one process. Times are milliseconds since the epoch. */
export interface GatherRound {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** Bytes that these ranks contributed. */
  readonly givenBytes: number;
  /** Digest of the metas and of the resulting plan, which must be equal in all processes. */
  readonly digests: readonly string[];
  /** Ranks whose metas lack a rank or a tensor. */
  readonly wrong: number;
}

const BUCKET_BYTES = 4 * 2 ** 30;
const FILL_BYTES = 128 * 2 ** 20;
const task = JSON.parse(process.argv[2]!) as GatherTask;
const { port, worldSize, fromRank, toRank, rounds } = task;
// Hundreds of ranks share a process and all processes share a few cores, so a silent rank is not necessarily dead.
const LOST_AFTER_MS = 60_000;
const server = fromRank === 0 ? await startStoreServer({ port, worldSize, lostAfterMs: LOST_AFTER_MS }) : undefined;
const address = `tcp://127.0.0.1:${port}`;
const stores = await Promise.all(
  Array.from({ length: toRank - fromRank }, (_, at) => connectStore({ address, rank: fromRank + at, worldSize })),
);
for (let round = 0; round < rounds; round++) {
  // Every second round has the metas of the previous one, like an update of the same tensors.
  const checkpoint = `kimi-k2-${round >> 1}`;
  const world = kimiK2Metas(worldSize, checkpoint);
  const tensorCount = world.reduce((sum, { tensors }) => sum + tensors.length, 0);
  const given = new Map(stores.map(({ rank }) => [rank, encodeRankMetas(world[rank]!)]));
  await Promise.all(stores.map((store) => store.barrier(`round ${round}`)));
  const startedAtMs = nowMs();
  const gathered = await Promise.all(
    stores.map(async (store: Store) => {
      const { metas, digest } = await gatherMetas(store, checkpoint, () => world[store.rank]!);
      return { metas, digest, endedAtMs: nowMs() };
    }),
  );
  const plans = new Map([...new Set(gathered.map(({ metas }) => metas))].map((metas) => [metas, planOf(metas)]));
  const figures: GatherRound = {
    startedAtMs,
    endedAtMs: Math.max(...gathered.map(({ endedAtMs }) => endedAtMs)),
    givenBytes: [...given.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
    digests: [...new Set(gathered.map(({ metas, digest }) => `${digest} ${plans.get(metas)}`))],
    wrong: gathered.filter(
      ({ metas }) =>
        metas.length !== worldSize || metas.reduce((sum, { tensors }) => sum + tensors.length, 0) !== tensorCount,
    ).length,
  };
  process.send!(figures);
}
await Promise.all(stores.map((store) => store.close()));
await server?.close();
process.disconnect();

function planOf(metas: Parameters<typeof planBuckets>[0]): string {
  const { buckets } = planBuckets(metas, { bucketBytes: BUCKET_BYTES, fillBytes: FILL_BYTES });
  return createHash('sha256').update(JSON.stringify(buckets)).digest('hex');
}
