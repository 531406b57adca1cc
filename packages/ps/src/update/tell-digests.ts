import { decodeDigests, encodeDigests } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { BlockDigests } from '@checkpoint-engine/meta';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { Meeting } from '../update/meet.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';

/** Tells all ranks the digests of what was read after the metas were gathered. */
export async function tellDigests(run: UpdateRun, { epoch }: Meeting): Promise<void> {
  const { verifier, context, waiting, life } = run;
  const { held, isForeign } = context;
  if (isForeign || verifier.expected.silentRanks.length === 0) return;
  if (verifier.mode === 'full') await untilAborted(held?.digesting ?? Promise.resolve(), life.signal);
  const own = verifier.expected.silentRanks.includes(context.store.rank) ? held?.digests?.complete : undefined;
  const columns = own && { blockBytes: own.blockBytes, blocks: encodeDigests(own.blocks) };
  const replies = await exchange(epoch, 'digests', () => encode(columns ?? null), waiting);
  for (const [at, member] of epoch.members.entries()) {
    const told = decodeFromRank<typeof columns | null>(replies[at]!);
    if (told) verifier.expected.tell(member, { ...told, blocks: decodeDigests(told.blocks) } satisfies BlockDigests);
  }
}
