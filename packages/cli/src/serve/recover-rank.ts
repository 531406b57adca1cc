import { type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { loadMetasAt } from '../process/metas-transfer.ts';
import { type AskRanks, SHORT_CALL_MS } from './call-ranks.ts';
import type { Catalog, CatalogEntry } from './catalog.ts';
import type { RankSlot } from './rank-slot.ts';

/**
 * Restores the state of a restarted rank from the catalog: loads metas and registers each checkpoint again. A checkpoint
 * that is deleted during the recovery is released. Never rejects.
 */
export async function recoverRank(slot: RankSlot, catalog: Catalog, ask: AskRanks, logger: Logger): Promise<void> {
  for (const entry of catalog.all) {
    const request = entry.requestOf(slot.rank);
    const isDeleted = (): boolean => catalog.find(entry.name) !== entry || entry.requestOf(slot.rank) !== request;
    if (isDeleted()) continue;
    const failure = await recoverEntry(slot, entry, isDeleted, ask);
    // A rank that died again is recovered again after its next start.
    if (!slot.isRunning) return;
    if (failure === undefined && !isDeleted()) continue;
    await ask([slot], 'unregister', { name: entry.name }, SHORT_CALL_MS).catch(() => {});
    if (failure === undefined || isDeleted()) continue;
    const error = toCheckpointEngineError(failure);
    entry.noteLost(slot.rank, error);
    logger.error({ rank: slot.rank, checkpoint: entry.name, err: error }, 'A share is lost');
  }
}

/** Returns why the share of the rank is lost, if it is. */
async function recoverEntry(
  slot: RankSlot,
  entry: CatalogEntry,
  isDeleted: () => boolean,
  ask: AskRanks,
): Promise<unknown> {
  const metas = entry.importedMetas;
  if (metas) await loadMetasAt((name, call) => ask([slot], name, call, SHORT_CALL_MS), metas).catch(() => {});
  const request = entry.requestOf(slot.rank);
  if (entry.isRegistering || request === undefined || isDeleted()) return undefined;
  try {
    // A deletion waits for it, because calls before the deletion use the checkpoint.
    const [registered] = await ask([slot], 'register', { ...request, load: undefined }, entry.timeoutMs);
    if (!isDeleted()) entry.noteRegistered(slot.rank, registered!, false);
    return undefined;
  } catch (error) {
    return error ?? new Error('The rank gave no reason');
  }
}
