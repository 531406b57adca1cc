import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { exchangeThroughFirst } from '../util/exchange.ts';
import { decodeMetas, type GatheredMetas } from './gathered-metas.ts';

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
 * @param own Encodes this rank's metas.
 * @throws The errors of `own` at any member; `CE_METAS_INVALID`, `CE_TENSOR_DUPLICATE`, `CE_CHECKPOINT_EMPTY`.
 */
export async function gatherMetas(
  store: Store,
  checkpoint: string,
  own: () => Uint8Array | Promise<Uint8Array>,
  options?: WaitOptions,
): Promise<GatheredMetas> {
  const packed = await exchangeThroughFirst(store, `metas:${checkpoint}`, own, packMetas, options);
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

/** Joins encoded metas into one value, with their common parts compressed. */
async function packMetas(encoded: readonly Uint8Array[]): Promise<Uint8Array> {
  return await deflate(encode(encoded), { level: LEVEL });
}

async function unpackMetas(packed: Uint8Array, key: string): Promise<GatheredMetas> {
  const encoded = decodeFromRank<Uint8Array[]>(await inflate(packed, { maxOutputLength: MAX_BYTES }));
  const gathered = await decodeMetas(encoded);
  known.set(key, new WeakRef(gathered));
  forget.register(gathered, key);
  return gathered;
}
