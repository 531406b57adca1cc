import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { ConnectOptions } from '../api.ts';
import { connectGroup } from './connect-group.ts';
import type { RankParts } from './update-context.ts';

const TIMEOUT_MS = 120_000;

/** The broadcast group of all ranks that is created before the first update. */
export class EarlyGroup {
  readonly #parts: Pick<RankParts, 'store' | 'links' | 'device' | 'logger'>;
  readonly #closing = new AbortController();
  /** Never rejects. */
  #connecting: Promise<void> | undefined;

  constructor(parts: Pick<RankParts, 'store' | 'links' | 'device' | 'logger'>) {
    this.#parts = parts;
  }

  /** Creates the group, once. Called on all ranks. A failure is only logged: an update creates the group then. */
  async connect({ timeoutMs = TIMEOUT_MS, signal, isWanted = async () => true }: ConnectOptions): Promise<void> {
    const { store, logger } = this.#parts;
    const stop = AbortSignal.any([this.#closing.signal, store.signal, ...(signal ? [signal] : [])]);
    this.#connecting ??= connectGroup({ ...this.#parts, isWanted }, { timeoutMs, signal: stop }).catch((cause) => {
      logger.warn(
        { rank: store.rank, cause },
        'The broadcast group could not be created in advance; the update creates it',
      );
    });
    await this.#connecting;
  }

  /** Resolves when the group is created, or is not created in advance. */
  async settled(signal: AbortSignal | undefined): Promise<void> {
    await untilAborted(this.#connecting ?? Promise.resolve(), signal);
  }

  /** Ends the creation of the group. Idempotent. */
  async stop(reason: CheckpointEngineError): Promise<void> {
    this.#closing.abort(reason);
    await this.#connecting;
  }
}
