import type { Logger } from '@checkpoint-engine/interface';
import type { CallRequest } from '../process/messages.ts';
import { type EncodedMetas, loadMetasAt, readMetasOf } from '../process/metas-transfer.ts';
import { type AskRanks, SHORT_CALL_MS } from './call-ranks.ts';
import { type Catalog, CatalogEntry } from './catalog.ts';
import type { RankSlot } from './rank-slot.ts';
import type { Readiness } from './readiness.ts';
import { REGISTER_MS } from './registrations.ts';

/** The time-out of gathering metas. */
export const GATHER_MS = 120_000;

/** The parts of a world that its metas need. */
export interface ServedMetasOptions {
  readonly catalog: Catalog;
  readonly slots: readonly RankSlot[];
  readonly readiness: Readiness;
  readonly ask: AskRanks;
  readonly logger: Logger;
}

/** The metas of a served world's checkpoints. One method may run at a time, and no other call of all ranks. */
export class ServedMetas {
  readonly #options: ServedMetasOptions;

  constructor(options: ServedMetasOptions) {
    this.#options = options;
  }

  /** Lets the ranks exchange what they hold. @throws The first failure of any rank. */
  async gather(
    entry: CatalogEntry,
    signal: AbortSignal | undefined,
    timeoutMs: number = GATHER_MS,
    options: Pick<CallRequest<'gatherMetas'>, 'untilDigested'> = {},
  ): Promise<void> {
    const { slots, readiness, ask } = this.#options;
    await readiness.untilReady(signal);
    entry.checkWhole();
    await ask(slots, 'gatherMetas', { name: entry.name, timeoutMs, ...options }, timeoutMs, { signal });
    entry.noteGathered();
  }

  /** The same, if a rank holds something else since the last time. */
  async gatherAgain(entry: CatalogEntry, signal: AbortSignal | undefined, timeoutMs: number): Promise<void> {
    if (entry.mustGather) await this.gather(entry, signal, timeoutMs);
  }

  /** Returns encoded metas for another world. */
  async export(entry: CatalogEntry): Promise<Uint8Array> {
    await this.gatherAgain(entry, undefined, GATHER_MS);
    let known = await this.#read(entry);
    if (!known.areDigested && entry.importedMetas === undefined) {
      await this.gather(entry, undefined, GATHER_MS, { untilDigested: true });
      known = await this.#read(entry);
    }
    return known.metas;
  }

  /** Lets all ranks take encoded metas of another world. */
  async import(name: string, metas: Uint8Array): Promise<void> {
    const { catalog, slots, readiness, ask, logger } = this.#options;
    await readiness.untilReady();
    const weightVersion = await loadMetasAt((call, request) => ask(slots, call, request, SHORT_CALL_MS), metas);
    catalog
      .getOrAdd(name, () => new CatalogEntry(name, undefined, slots.length, REGISTER_MS))
      .noteImported(metas, weightVersion);
    logger.info({ checkpoint: name, sizeBytes: metas.byteLength }, 'Took the metas of a checkpoint');
  }

  #read({ name, broughtVersion: weightVersion }: CatalogEntry): Promise<EncodedMetas> {
    const { slots, ask } = this.#options;
    const first = [slots[0]!];
    return readMetasOf((call, request) => ask(first, call, request, SHORT_CALL_MS), { name, weightVersion });
  }
}
