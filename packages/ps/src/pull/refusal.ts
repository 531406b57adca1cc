import type { RankMetas } from '@checkpoint-engine/meta';
import type { SurveyAnswer } from '../pull-channel.ts';
import type { TensorList } from '../update/tensor-list.ts';
import type { UpdateContext } from '../update/update-context.ts';

/** Whether a rank's bytes are in memory or files of this host that its servers can share with workers. */
export function isHere(holder: RankMetas, { isForeign, host }: Pick<UpdateContext, 'isForeign' | 'host'>): boolean {
  return !isForeign && holder.host === host;
}

/** Returns why a byte that a worker copies itself cannot reach its host; null if all bytes can. */
export function refusalOf(
  context: UpdateContext,
  answer: SurveyAnswer | undefined,
  { holders, metas }: TensorList,
): string | null {
  if (answer === undefined) return null;
  for (const index of answer.needs.tensor) {
    const holder = holders[index]!;
    if (isHere(holder, context)) continue;
    const { region } = metas[index]!;
    const isReadable = holder.p2pAddress !== undefined && holder.regions[region]!.remote !== undefined;
    if (context.p2p !== undefined && isReadable) continue;
    return `Rank ${context.store.rank} needs bytes that rank ${holder.rank} of host "${holder.host}" holds, and cannot read them from there`;
  }
  return null;
}
