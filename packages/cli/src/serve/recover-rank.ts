import { type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { type AskRanks, SHORT_CALL_MS } from './call-ranks.ts';
import type { CatalogEntry } from './catalog.ts';
import type { RankSlot } from './rank-slot.ts';

/** Restores the state of a restarted rank: loads metas and registers each checkpoint again. Never rejects. */
export async function recoverRank(
  slot: RankSlot,
  entries: readonly CatalogEntry[],
  ask: AskRanks,
  logger: Logger,
): Promise<void> {
  for (const entry of entries) {
    const metas = entry.importedMetas;
    if (metas) await ask([slot], 'loadMetas', { metas }, SHORT_CALL_MS).catch(() => {});
    const before = entry.jobOf(slot.rank);
    if (entry.isRegistering || before === undefined) continue;
    try {
      const job = { ...before, load: undefined };
      const [registered] = await ask([slot], 'register', job, entry.timeoutMs);
      entry.noteRegistered(slot.rank, registered!, false);
    } catch (thrown) {
      // A rank that died again is recovered again after its next start.
      if (!slot.isRunning) return;
      const error = toCheckpointEngineError(thrown);
      await ask([slot], 'unregister', { name: entry.name }, SHORT_CALL_MS).catch(() => {});
      entry.noteLost(slot.rank, error);
      logger.error({ rank: slot.rank, checkpoint: entry.name, err: error }, 'A share is lost');
    }
  }
}
