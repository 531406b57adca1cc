import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { UpdateOptions } from '../api.ts';
import type { ChosenWorkers } from './choose-workers.ts';

/** The method of an update, and the reason for it. Equal on all ranks. */
export interface ChosenMethod {
  readonly name: 'pull' | 'buckets';
  readonly reason: string;
}

/**
 * Returns the method of an update whose workers cannot report what they keep; nothing if they can. Equal on all
 * ranks.
 *
 * @throws `CE_NOT_SUPPORTED` The caller wants a pull, but the workers cannot report what they keep.
 */
export function methodWithoutSurvey(
  { method }: Pick<UpdateOptions, 'method'>,
  { pulls, passes }: Pick<ChosenWorkers, 'pulls' | 'passes'>,
): ChosenMethod | undefined {
  if (method === 'buckets') return { name: 'buckets', reason: 'The caller requested whole buckets' };
  const reason =
    passes === 'any'
      ? 'The engine may load more than once in one update, and only buckets can be sent more than once'
      : 'The workers use a protocol without pulls';
  if (pulls && passes !== 'any') return undefined;
  if (method !== 'pull') return { name: 'buckets', reason };
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The weights cannot be pulled: ${reason}`,
    'Give the engine a receiver of worker protocol 2 that pulls, or choose the method "auto"',
  );
}
