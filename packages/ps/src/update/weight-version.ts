import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import type { UpdateOptions } from '../api.ts';
import type { VersionChange } from '../progress-event.ts';
import type { Agreement } from './agreement.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateRun } from './update-run.ts';
import { UpdateVersion } from './update-version.ts';

/**
 * Returns the version of an update. It is equal on all ranks, because they agree on the counter, on the given version,
 * and on whether all bytes are digested. In that case it is known at the end.
 */
export function versionOf(
  { weightVersion: own, isForeign }: Pick<UpdateContext, 'weightVersion' | 'isForeign'>,
  { weightVersion: given }: Pick<UpdateOptions, 'weightVersion'>,
  { counter, proposals }: Pick<Agreement, 'counter' | 'proposals'>,
): UpdateVersion {
  const known = given ?? own;
  const isDerived = known === undefined && !isForeign && [...proposals.values()].every(({ digests }) => digests);
  return new UpdateVersion(isDerived ? undefined : (known ?? versionOfCounter(counter)));
}

/** The version of an update that was given none, from bytes that are not digested. */
export function versionOfCounter(counter: number): string {
  return `update-${counter}`;
}

/** Returns the common version of an instance's workers; nothing if one of them reports none. */
export function commonVersion(held: readonly (string | null)[]): string | undefined {
  const [first] = held;
  if (first === undefined || first === null || held.includes(null)) return undefined;
  return held.every((version) => version === first) ? first : UNKNOWN_VERSION;
}

/** Notifies the listener that all ranks have confirmed an update. */
export function emitVersion({ emit, context }: UpdateRun, change: VersionChange): void {
  emit({ type: 'version', rank: context.store.rank, ...change, atMs: nowMs() });
}
