import { Buffer } from 'node:buffer';
import { checkpointDigest } from '@checkpoint-engine/meta';
import type { WorldMetas } from '../api.ts';
import { type GatheredMetas, type WorldDigests, withDigests } from './gathered-metas.ts';

interface Derived {
  readonly digests: WorldDigests;
  readonly version: string | undefined;
}

/** Enough for checkpoints that alternate. */
const MAX_KEPT = 4;
/** By metas, the versions that were derived last; the newest is first. */
const derived = new WeakMap<WorldMetas, readonly Derived[]>();

/**
 * The version of a checkpoint that was given none: from the digest of its names, dtypes, shapes and bytes, if the
 * digests of all ranks are known. Computed once for the same metas and digests.
 */
export function derivedVersion({ metas, digests }: Pick<GatheredMetas, 'metas' | 'digests'>): string | undefined {
  const kept = derived.get(metas) ?? [];
  const before = kept.find((each) => each.digests === digests) ?? kept.find((each) => areEqual(each.digests, digests));
  if (before !== undefined) return before.version;
  const digest = checkpointDigest(withDigests(metas, digests));
  const version = digest && `digest:${digest}`;
  derived.set(metas, [{ digests, version }, ...kept.slice(0, MAX_KEPT - 1)]);
  return version;
}

/** Compares bytes, because each update exchanges the digests of files that stream again. */
function areEqual(some: WorldDigests, others: WorldDigests): boolean {
  if (some.size !== others.size) return false;
  return [...some].every(([rank, { blockBytes, blocks }]) => {
    const other = others.get(rank);
    if (other === undefined || other.blockBytes !== blockBytes) return false;
    return other.blocks === blocks || Buffer.compare(bytesOf(other.blocks), bytesOf(blocks)) === 0;
  });
}

function bytesOf({ buffer, byteOffset, byteLength }: BigUint64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
