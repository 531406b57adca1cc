import type { Logger } from '@checkpoint-engine/interface';
import { splitGroups } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';

/** Number of groups that a warning lists. */
const NAMED = 3;

/** Warns about tensors that a loader may need in one call but that several ranks hold: they arrive in several calls. */
export function warnOfSplitGroups(checkpoint: string, metas: WorldMetas, logger: Logger): void {
  if (metas.length < 2) return;
  const groups = splitGroups(metas);
  if (groups.length === 0) return;
  logger.warn(
    { checkpoint, groupCount: groups.length, groups: groups.slice(0, NAMED) },
    `Several ranks hold parts of ${groups.length} groups of tensors, such as "${groups[0]}". Some loaders need a group in ` +
      'one call and silently drop parts of it: let the ranks divide the files of the checkpoint, or register each group on one rank',
  );
}
