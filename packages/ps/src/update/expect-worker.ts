import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { UpdateRun } from './update-run.ts';

/** How long a worker may take to come after its engine has answered: engines answer when their workers are done. */
const GRACE_MS = 5_000;

/**
 * Fails an update whose engine says that all is well although no worker has called: it is another server, or it asked
 * nobody. Otherwise the worker would be waited for until the time-out. Never rejects.
 *
 * @param request The engine's answer.
 * @param called  Settles when the worker has been heard, or never will be.
 */
export async function expectWorker(
  { context, life }: UpdateRun,
  request: Promise<void>,
  called: Promise<unknown>,
): Promise<void> {
  const { rank } = context.store;
  const hasAnswered = await request.then(
    () => true,
    () => false,
  );
  if (!hasAnswered || (await settlesWithin(called, GRACE_MS))) return;
  life.fail(
    new CheckpointEngineError(
      'CE_ENGINE_FAILED',
      `The engine answered that the update is done, but no worker has called for device "${context.device.uuid}"`,
      'Check that the address is that of the engine, that --engine names its kind, and that its workers have the receiver installed',
      { rank },
    ),
  );
}
