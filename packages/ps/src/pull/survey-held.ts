import { decodeNeeds, encodeNeeds, type Needs, type NeedsColumns } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { SurveyAnswer } from '../pull-channel.ts';
import type { WorkerSession } from '../session.ts';
import type { Meeting } from '../update/meet.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import { lacksDigests } from './cannot-verify.ts';

/** The parts of a checkpoint that the workers of all ranks hold. */
export interface SurveyedWorkers {
  /** Channel to this rank's worker. Absent if the rank has no worker. */
  readonly answer: SurveyAnswer | undefined;
  /** By rank. */
  readonly needs: ReadonlyMap<number, Needs>;
}

/**
 ** Queries the workers of all ranks for the bytes of a checkpoint that they hold. Does not change the workers.
 *
 * @throws `CE_NOT_SUPPORTED` A worker cannot report it; `CE_ENGINE_MISMATCH` it holds other tensors.
 */
export async function surveyHeld(
  { context, life, waiting }: UpdateRun,
  { epoch }: Meeting,
  session: WorkerSession | undefined,
): Promise<SurveyedWorkers> {
  const { metas: tensors, digest: metasDigest } = tensorsByName(context.metas);
  let answer: SurveyAnswer | undefined;
  const produce = async (): Promise<Uint8Array> => {
    if (session === undefined) return encode(null);
    answer = await session.pull?.survey({ intent: 'verify', tensors, metasDigest }, { signal: life.signal });
    if (answer?.digests !== true) throw lacksDigests(context.store.rank);
    return encode(encodeNeeds(answer.needs));
  };
  const replies = await exchange(epoch, 'needs', produce, waiting);
  const needs = new Map<number, Needs>();
  for (const [at, rank] of epoch.members.entries()) {
    const columns = decodeFromRank<NeedsColumns | null>(replies[at]!);
    if (columns !== null) needs.set(rank, decodeNeeds(columns));
  }
  return { answer, needs };
}
