import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import { checkpointDigest } from '@checkpoint-engine/meta';
import type { UpdateOptions } from '../api.ts';
import { type GatheredMetas, type WorldDigests, withDigests } from '../metas/gathered-metas.ts';
import type { VersionChange } from '../progress-event.ts';
import type { Agreement } from './agreement.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateRun } from './update-run.ts';

/**
 * Returns the version of an update. It is equal on all ranks, because they agree on the counter and the given version.
 */
export function versionOf(
  { weightVersion: own }: Pick<UpdateContext, 'weightVersion'>,
  { weightVersion: given }: Pick<UpdateOptions, 'weightVersion'>,
  { counter }: Pick<Agreement, 'counter'>,
): string {
  return given ?? own ?? `update-${counter}`;
}

const derived = new WeakMap<WorldDigests, string | null>();

/**
 * The version of a checkpoint that was given none: from the digest of its names, dtypes, shapes and bytes, if the metas
 * of all ranks have digests. Computed once for the same digests.
 */
export function derivedVersion({ metas, digests }: Pick<GatheredMetas, 'metas' | 'digests'>): string | undefined {
  let version = derived.get(digests);
  if (version === undefined) {
    const digest = checkpointDigest(withDigests(metas, digests));
    version = digest === undefined ? null : `digest:${digest}`;
    derived.set(digests, version);
  }
  return version ?? undefined;
}

/** Returns the common version of an instance's workers; nothing if one of them reports none. */
export function commonVersion(held: readonly (string | null)[]): string | undefined {
  const [first] = held;
  if (first === undefined || first === null || held.includes(null)) return undefined;
  return held.every((version) => version === first) ? first : UNKNOWN_VERSION;
}

/** Tells the listener that all ranks have confirmed an update. */
export function emitVersion({ emit, context }: UpdateRun, change: VersionChange): void {
  emit({ type: 'version', rank: context.store.rank, ...change, atMs: nowMs() });
}
