import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** The error of a worker that has no digests. */
export function lacksDigests(rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The worker of rank ${rank} cannot report digests of what it holds`,
    'Start the engine with the receiver of this release (see docs/update-vllm.md, docs/update-sglang.md, or `pullerOf` of @checkpoint-engine/worker): workers of the Python tool have no digests',
    { rank },
  );
}

/** The error of a checkpoint whose bytes were not digested. */
export function withoutDigests(checkpoint: string, ranks: readonly number[]): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The digests of checkpoint "${checkpoint}" are not known: rank ${ranks[0]} has none`,
    'Register the checkpoint with digests, or export its metas again once all bytes have been read',
    { rank: ranks[0] },
  );
}
