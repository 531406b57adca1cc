import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import { checkpointDigest } from '@checkpoint-engine/meta';
import type { UpdateOptions, VersionChange, WorldMetas } from '../api.ts';
import type { Agreement } from './agreement.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateRun } from './update-run.ts';

/** The version that an update brings. Equal on all ranks, since the ranks agree on the counter and on what was given. */
export function versionOf(
  { weightVersion: own }: Pick<UpdateContext, 'weightVersion'>,
  { weightVersion: given }: Pick<UpdateOptions, 'weightVersion'>,
  { counter }: Pick<Agreement, 'counter'>,
): string {
  return given ?? own ?? `update-${counter}`;
}

const derived = new WeakMap<WorldMetas, string | null>();

/**
 * The version of a checkpoint that was given none: from the digest of its names, dtypes, shapes and bytes, where the metas
 * of all ranks have digests. Found once for the same metas.
 */
export function derivedVersion(metas: WorldMetas): string | undefined {
  let version = derived.get(metas);
  if (version === undefined) {
    const digest = checkpointDigest(metas);
    version = digest === undefined ? null : `digest:${digest}`;
    derived.set(metas, version);
  }
  return version ?? undefined;
}

/** The version that all workers of an instance hold; nothing where one of them does not tell. */
export function commonVersion(held: readonly (string | null)[]): string | undefined {
  const [first] = held;
  if (first === undefined || first === null || held.includes(null)) return undefined;
  return held.every((version) => version === first) ? first : UNKNOWN_VERSION;
}

/** Tells the listener that all ranks have confirmed an update. */
export function emitVersion({ emit, context }: UpdateRun, change: VersionChange): void {
  emit({ type: 'version', rank: context.store.rank, ...change, atMs: performance.timeOrigin + performance.now() });
}
