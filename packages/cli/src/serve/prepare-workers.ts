import { type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { canMap } from '../config/requests.ts';
import type { CallRequest } from '../process/messages.ts';
import type { AskRanks } from './call-ranks.ts';
import type { RankSlot } from './rank-slot.ts';

/** The workers to prepare, and the updates that follow. */
export interface PrepareRequest {
  readonly checkpoint: string;
  readonly targets: CallRequest<'prepare'>['targets'] | undefined;
  readonly update: Pick<
    CallRequest<'update'>,
    'bucketBytes' | 'deviceMemoryBytes' | 'method' | 'verify' | 'releaseCommunicators'
  >;
}

/** Time limit for workers to map memory and record copies. */
const PREPARE_MS = 120_000;

/**
 * Lets workers map memory and record copies before the first update, so that no update waits for it. Never rejects: the
 * update repeats steps that fail here.
 */
export async function prepareWorkers(
  slots: readonly RankSlot[],
  { checkpoint, targets, update }: PrepareRequest,
  ask: AskRanks,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { method = 'auto' } = update;
  if (targets === undefined || method === 'buckets' || !canMap(targets.engine, method)) return;
  const limit = { timeoutMs: PREPARE_MS };
  try {
    const [can] = await ask(slots.slice(0, 1), 'canPrepare', { targets, ...limit }, PREPARE_MS, { signal });
    const request = { ...update, name: checkpoint, targets, ...limit };
    if (can) await ask(slots, 'prepare', request, PREPARE_MS, { signal });
  } catch (thrown) {
    const err = toCheckpointEngineError(thrown);
    logger.warn({ checkpoint, err }, 'Workers could not prepare for updates of a checkpoint');
  }
}
