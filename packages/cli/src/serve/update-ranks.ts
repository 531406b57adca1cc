import type { HttpWorld } from '@checkpoint-engine/http';
import { type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { UpdateResult } from '@checkpoint-engine/ps';
import type { CallRequest } from '../process/messages.ts';
import { callRanks } from './call-ranks.ts';
import type { RankSlot } from './rank-slot.ts';
import { endpointsOf } from './update-targets.ts';

/**
 * Calls `update` on all ranks.
 *
 * A rank that is lost or does not answer may have sent a request to its engine without reporting it. Every engine of
 * the update then counts as having received a request, because it may hold old and new weights.
 *
 * @throws The errors of `callRanks`.
 */
export async function updateRanks(
  slots: readonly RankSlot[],
  request: CallRequest<'update'>,
  { signal, onEvent }: Parameters<HttpWorld['update']>[2],
  logger: Logger,
): Promise<UpdateResult[]> {
  const asked = new Set<number>();
  const note: typeof onEvent = (event) => {
    if (event.type === 'engine') asked.add(event.groupIndex);
    onEvent(event);
  };
  try {
    return await callRanks(
      slots,
      { name: 'update', request, timeoutMs: request.timeoutMs, signal, onEvent: note },
      logger,
    );
  } catch (thrown) {
    const { code } = toCheckpointEngineError(thrown);
    if (code === 'CE_RANK_LOST' || code === 'CE_TIMEOUT') {
      for (const engine of endpointsOf(request.targets, request.ranks ?? [...slots.keys()])) {
        if (!asked.has(engine.groupIndex)) onEvent({ type: 'engine', state: 'asked', ...engine, atMs: Date.now() });
      }
    }
    throw thrown;
  }
}
