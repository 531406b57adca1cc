import { decodeDigests, encodeDigests } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { BlockDigests } from '@checkpoint-engine/meta';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { exchange } from '../util/exchange.ts';
import type { Meeting } from './meet.ts';
import type { UpdateRun } from './update-run.ts';

/**
 * Tells all ranks the digests of what was read after the metas were gathered. Called on all ranks, and does it once.
 *
 * @throws `CE_FILE_*`, `CE_DIGEST_MISMATCH` The version is derived from bytes that cannot be read, or have changed.
 */
export async function tellDigests(run: UpdateRun, { epoch, version }: Meeting): Promise<void> {
  const { verifier, context } = run;
  const { expected } = verifier;
  if (context.isForeign || expected.silentRanks.length === 0 || expected.haveToldAll) return;
  const own = async (): Promise<Uint8Array> => {
    if (!expected.silentRanks.includes(context.store.rank)) return encode(null);
    await untilRead(run, version.known === undefined);
    const complete = context.held?.digests?.complete;
    return encode(complete ? { blockBytes: complete.blockBytes, blocks: encodeDigests(complete.blocks) } : null);
  };
  const replies = await exchange(epoch, 'digests', own, run.waiting);
  for (const [at, member] of epoch.members.entries()) {
    const told = decodeFromRank<{ blockBytes: number; blocks: Uint8Array } | null>(replies[at]!);
    if (told) expected.tell(member, { ...told, blocks: decodeDigests(told.blocks) } satisfies BlockDigests);
  }
  expected.haveToldAll = true;
}

/** @param isDerived The version is derived from all bytes, so the update reads those that no worker needed. */
async function untilRead({ verifier, context, life, emit }: UpdateRun, isDerived: boolean): Promise<void> {
  const { held } = context;
  const { signal } = life;
  if (verifier.mode === 'full' || isDerived) await untilAborted(held?.digesting ?? Promise.resolve(), signal);
  if (!isDerived) return;
  await untilAborted(held?.fill?.loaded() ?? Promise.resolve(), signal);
  await held?.readDigests?.({ signal, emit });
}
