import { decodeNeeds, encodeNeeds, type Needs, type NeedsColumns, type Store } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import type { Offers } from './offer.ts';

/** Exchanges what the workers of one host keep. Needs that all ranks already know are not sent again. */
export async function gatherNeeds(
  { context, waiting }: UpdateRun,
  scope: Store,
  { byRank, answer }: Offers,
): Promise<Map<number, Needs>> {
  const { pulls } = context;
  if (answer !== undefined) pulls.remember(answer.needsDigest, answer.needs);
  const areKnown = (rank: number): boolean => {
    const { needsDigest } = byRank.get(rank)!;
    const others = scope.members.filter((other) => other !== rank);
    return needsDigest === null || others.every((other) => byRank.get(other)!.known.includes(needsDigest));
  };
  const produce = (): Uint8Array =>
    encode(answer === undefined || areKnown(scope.rank) ? null : encodeNeeds(answer.needs));
  // All ranks have the same offers, so that all of them exchange needs or none does.
  const replies = scope.members.every(areKnown) ? [] : await exchange(scope, 'needs', produce, waiting);
  const needs = new Map<number, Needs>();
  for (const [at, rank] of scope.members.entries()) {
    const { needsDigest } = byRank.get(rank)!;
    if (needsDigest === null) continue;
    const columns = replies[at] && decodeFromRank<NeedsColumns | null>(replies[at]);
    if (columns && rank !== scope.rank) pulls.remember(needsDigest, decodeNeeds(columns));
    needs.set(rank, pulls.needsOf(needsDigest)!);
  }
  return needs;
}
