import { once } from 'node:events';
import type { HttpApi } from '@checkpoint-engine/http';
import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { Interrupts } from '../process/interrupts.ts';

/** The options of {@link drain}. */
export interface DrainOptions {
  /** Time that a running update may continue. */
  readonly graceMs: number;
  readonly interrupts: Interrupts;
  readonly logger: Logger;
}

/**
 * Rejects new updates and reports that the server is not ready. A running update may end within the grace time; then it
 * is aborted, and its workers are notified. A second signal ends the wait.
 */
export async function drain(api: HttpApi, { graceMs, interrupts, logger }: DrainOptions): Promise<void> {
  const { insisted } = interrupts;
  if (insisted.aborted) return;
  const hurry = once(insisted, 'abort');
  logger.info({ signal: interrupts.askedBy, graceMs }, 'Shutting down: no new update is accepted');
  const drained = api.drain();
  await Promise.race([settlesWithin(drained, graceMs), hurry]);
  const reason = new CheckpointEngineError(
    'CE_ABORTED',
    `The server shuts down, and the update did not end within ${graceMs} ms`,
    'Run the update again when the server is back',
  );
  await Promise.race([Promise.all([api.cancelRunning(reason), drained]), hurry]);
}
