import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import { type BlockDigests, checkDigests, encodeRankMetas, type RankMetas } from '@checkpoint-engine/meta';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { WorldMetas } from '../api.ts';
import { exchangeThroughFirst } from '../util/exchange.ts';
import { decodeMetas, type GatheredMetas, type WorldDigests } from './gathered-metas.ts';

/** Metas of several ranks repeat names and shapes: they compress to a sixth even at level 1. */
const LEVEL = 1;
/** No world has larger metas; larger claims are rejected. */
const MAX_BYTES = 2 ** 30;
const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/**
 * Metas that worlds of this process gathered before, by the SHA-256 of their bytes: a checkpoint whose tensors keep
 * their names and shapes is gathered with every new version, but decoded once. Kept while a caller references the
 * metas.
 */
const known = new Map<string, WeakRef<GatheredMetas>>();
/** Metas that are being decoded now. */
const decoding = new Map<string, Promise<GatheredMetas>>();
const forget = new FinalizationRegistry<string>((key) => {
  if (known.get(key)?.deref() === undefined) known.delete(key);
});

/**
 * Exchanges what each member holds: the work of `ParameterServer.gatherMetas`, for servers of another composition.
 * Called on all members. The first member encodes the metas of all, and every member receives the same bytes, so the
 * traffic grows with the tensors and not with the square of the ranks.
 *
 * @param own Returns this rank's metas.
 * @throws The errors of `own` at any member; `CE_METAS_INVALID`, `CE_TENSOR_DUPLICATE`, `CE_CHECKPOINT_EMPTY`.
 */
export async function gatherMetas(
  store: Store,
  checkpoint: string,
  own: () => RankMetas | Promise<RankMetas>,
  options?: WaitOptions,
): Promise<GatheredMetas> {
  const produce = async (): Promise<Uint8Array> => encodeParts(await own());
  const reply = await exchangeThroughFirst(store, `metas:${checkpoint}`, produce, pack, options);
  const { metas: packed, digests: encoded } = decodeFromRank<Packed>(reply);
  const gathered = await gatheredOf(packed);
  const digests = decodeDigests(gathered.metas, encoded);
  return digests.size === 0 ? gathered : { ...gathered, digests };
}

async function gatheredOf(packed: Uint8Array): Promise<GatheredMetas> {
  const key = createHash('sha256').update(packed).digest('base64');
  const before = known.get(key)?.deref();
  if (before !== undefined) return before;
  let gathered = decoding.get(key);
  if (gathered === undefined) {
    gathered = unpackMetas(packed, key).finally(() => decoding.delete(key));
    decoding.set(key, gathered);
  }
  return await gathered;
}

/** A member's message: its metas, and separately its digests, which change with every version of the weights. */
interface Parts {
  readonly metas: Uint8Array;
  readonly blockBytes: number;
  readonly blocks: Uint8Array;
}

/** The message to all members. */
interface Packed {
  /** Encoded metas of all members, deflated. */
  readonly metas: Uint8Array;
  /** In the order of the members. */
  readonly digests: readonly Omit<Parts, 'metas'>[];
}

function encodeParts({ digests, ...metas }: RankMetas): Uint8Array {
  const { blockBytes = 0, blocks = new BigUint64Array() } = digests ?? {};
  const bytes = new Uint8Array(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  return encode({ metas: encodeRankMetas(metas), blockBytes, blocks: bytes } satisfies Parts);
}

/** Joins encoded metas into one value, with their common parts compressed. */
async function pack(values: readonly Uint8Array[]): Promise<Uint8Array> {
  const parts = values.map((value) => decodeFromRank<Parts>(value));
  const metas = await deflate(encode(parts.map((part) => part.metas)), { level: LEVEL });
  const digests = parts.map(({ blockBytes, blocks }) => ({ blockBytes, blocks }));
  return encode({ metas, digests } satisfies Packed);
}

/** @throws `CE_METAS_INVALID` Digests do not fit the tensors. */
function decodeDigests(world: WorldMetas, digests: Packed['digests']): WorldDigests {
  const found = new Map<number, BlockDigests>();
  for (const [index, { blockBytes, blocks: bytes }] of digests.entries()) {
    if (blockBytes === 0) continue;
    const metas = world[index]!;
    const blocks = new BigUint64Array(bytes.slice().buffer);
    checkDigests({ ...metas, digests: { blockBytes, blocks } });
    found.set(metas.rank, { blockBytes, blocks });
  }
  return found;
}

async function unpackMetas(packed: Uint8Array, key: string): Promise<GatheredMetas> {
  const encoded = decodeFromRank<Uint8Array[]>(await inflate(packed, { maxOutputLength: MAX_BYTES }));
  const gathered = await decodeMetas(encoded);
  known.set(key, new WeakRef(gathered));
  forget.register(gathered, key);
  return gathered;
}
