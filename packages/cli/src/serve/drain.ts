import { once } from 'node:events';
import type { HttpApi } from '@checkpoint-engine/http';
import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { Interrupts } from '../process/interrupts.ts';

/** What {@link drain} takes. */
export interface DrainOptions {
  /** How long the update that runs may go on. */
  readonly graceMs: number;
  readonly interrupts: Interrupts;
  readonly logger: Logger;
}

/**
 * Takes no more updates, and is not ready any more. The one that runs may end, for a while; then it is cancelled and its
 * workers are told. A second signal ends the wait.
 */
export async function drain(api: HttpApi, { graceMs, interrupts, logger }: DrainOptions): Promise<void> {
  const { insisted } = interrupts;
  if (insisted.aborted) return;
  const hurry = once(insisted, 'abort');
  logger.info({ signal: interrupts.askedBy, graceMs }, 'Ending: no update begins any more');
  const drained = api.drain();
  await Promise.race([settlesWithin(drained, graceMs), hurry]);
  const reason = new CheckpointEngineError(
    'CE_ABORTED',
    `The server was asked to end, and the update did not end within ${graceMs} ms`,
    'Run the update again when the server is back',
  );
  await Promise.race([Promise.all([api.cancelRunning(reason), drained]), hurry]);
}
