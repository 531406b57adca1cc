import { isWeightVersion, WEIGHT_VERSION_RULE } from '@checkpoint-engine/interface';
import { invalidMetas } from './metas-error.ts';
import type { RankMetas } from './parameter-meta.ts';

/**
 * Returns the version of the weights as a column, or undefined if no rank has one.
 *
 * @throws `CE_METAS_INVALID` Ranks have different versions, or the version is not valid.
 */
export function encodeWeightVersion(world: readonly RankMetas[]): Uint8Array | undefined {
  const versions = [...new Set(world.map(({ weightVersion }) => weightVersion))];
  const [version, other] = versions;
  if (versions.length > 1) {
    throw invalidMetas(`ranks have the versions ${version ?? 'none'} and ${other ?? 'none'}, expected one version`);
  }
  if (version === undefined) return undefined;
  checkVersion(version);
  return new TextEncoder().encode(version);
}

/** Adds the version of a column to metas. @throws `CE_METAS_INVALID` */
export function withWeightVersion(world: readonly RankMetas[], column: Uint8Array): RankMetas[] {
  const weightVersion = new TextDecoder().decode(column);
  checkVersion(weightVersion);
  return world.map((metas) => ({ ...metas, weightVersion }));
}

function checkVersion(version: string): void {
  if (isWeightVersion(version)) return;
  throw invalidMetas(`the version of the weights is ${JSON.stringify(version)}, expected ${WEIGHT_VERSION_RULE}`);
}
