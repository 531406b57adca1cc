import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { settlesWithin } from '@checkpoint-engine/interface/shared';
import type { UpdateRun } from './update-run.ts';

/** Time limit for a worker to connect after its engine has answered: engines answer when their workers are done. */
const GRACE_MS = 5_000;

/**
 * Fails an update whose engine reports success although no worker has connected: the server is not the engine, or the
 * engine called no worker. Otherwise the update would wait for the worker until the time-out. Never rejects.
 *
 * @param request The engine's answer.
 * @param called  Settles when the worker has connected, or never will.
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
      `The engine reported success, but no worker has connected for device "${context.device.uuid}"`,
      'Check that the address is that of the engine, that --engine is its kind, and that its workers have the receiver installed',
      { rank },
    ),
  );
}
