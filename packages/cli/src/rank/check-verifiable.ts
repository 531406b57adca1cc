import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { EngineClient } from '@checkpoint-engine/ps';

/** The bounds of the queries. */
type Wait = Parameters<EngineClient['ready']>[0];

/**
 * Checks that an engine's workers can report what they hold, before the checkpoint is read for the comparison.
 *
 * @param endpoint The engine in errors.
 * @throws `CE_NOT_SUPPORTED`; `CE_ENGINE_UNREACHABLE`, `CE_ENGINE_FAILED`, `CE_TIMEOUT`
 */
export async function checkVerifiable(engine: EngineClient, endpoint: string, wait: Wait): Promise<void> {
  const { workers } = engine.choose === undefined ? engine : await engine.choose(wait);
  if (workers !== 'v2') {
    throw cannot(
      endpoint,
      `its workers use protocol v1 and cannot report what they hold`,
      'Start the engine with the receiver checkpoint-engine-worker, see docs/update-vllm.md and docs/update-sglang.md',
    );
  }
  const described = await engine.describe?.(wait);
  const states = new Set(described?.workers.map(({ pull }) => pull));
  if (states.has('never')) {
    throw cannot(
      endpoint,
      'its workers receive all weights in buckets and cannot report what they hold',
      described?.hint ?? 'Run checkpoint-engine doctor --engine for the reason',
    );
  }
  if (states.has('unrecorded') || states.has('unproved')) {
    throw cannot(
      endpoint,
      'it has received no update through its receiver since it started, so it does not know which bytes of a checkpoint it holds',
      'Update the engine once with this checkpoint, and then verify it',
    );
  }
}

function cannot(endpoint: string, why: string, hint: string): CheckpointEngineError {
  const what = `The engine at ${endpoint} cannot be verified: ${why}`;
  return new CheckpointEngineError('CE_NOT_SUPPORTED', what, hint, { op: 'verify', peer: endpoint });
}
