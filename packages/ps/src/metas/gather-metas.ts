import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import { encode } from '@msgpack/msgpack';
import { decodeFromRank } from '../util/decode-bounded.ts';
import { exchangeThroughFirst } from '../util/exchange.ts';
import { decodeMetas, type GatheredMetas } from './gathered-metas.ts';

/** Ranks' metas repeat each other's names and shapes: even the fastest level leaves a sixth. */
const LEVEL = 1;
/** No world's metas are larger; what claims to be is not believed. */
const MAX_BYTES = 2 ** 30;
const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/**
 * What worlds of this process gathered before, by the SHA-256 of the bytes: a checkpoint whose tensors stay what they
 * are is gathered anew with every new version, and is decoded once. Kept as long as somebody holds the metas.
 */
const known = new Map<string, WeakRef<GatheredMetas>>();
/** What is being decoded just now. */
const decoding = new Map<string, Promise<GatheredMetas>>();
const forget = new FinalizationRegistry<string>((key) => {
  if (known.get(key)?.deref() === undefined) known.delete(key);
});

/**
 * Tells all members what each of them holds: what `ParameterServer.gatherMetas` does, for servers composed otherwise.
 * Called on all members. The first one packs the metas of all, and every member is sent the same
 * bytes: those grow with the tensors, not with the square of the ranks.
 *
 * @param own Encodes this rank's metas.
 * @throws What `own` throws at any member; `CE_METAS_INVALID`, `CE_TENSOR_DUPLICATE`, `CE_CHECKPOINT_EMPTY`.
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

/** Puts encoded metas into one value, without what they have in common. */
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
