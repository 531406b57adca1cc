import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { UpdateOptions } from '../api.ts';
import type { ChosenWorkers } from './choose-workers.ts';

/** The strategy of an update's transfer, and the reason for it. Equal on all ranks. */
export interface Strategy {
  readonly name: 'pull' | 'buckets';
  readonly reason: string;
}

/**
 * Returns the strategy of an update whose workers cannot report what they keep; nothing if they can. Equal on all
 * ranks.
 *
 * @throws `CE_NOT_SUPPORTED` The caller wants a pull, but the workers cannot report what they keep.
 */
export function strategyWithoutSurvey(
  { strategy }: Pick<UpdateOptions, 'strategy'>,
  { pulls, passes }: Pick<ChosenWorkers, 'pulls' | 'passes'>,
): Strategy | undefined {
  if (strategy === 'buckets') return { name: 'buckets', reason: 'The caller requested whole buckets' };
  const reason =
    passes === 'any'
      ? 'The engine may load more than once in one update, and only buckets can be sent more than once'
      : 'The workers use a protocol without pulls';
  if (pulls && passes !== 'any') return undefined;
  if (strategy !== 'pull') return { name: 'buckets', reason };
  throw new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The weights cannot be pulled: ${reason}`,
    'Give the engine a receiver of worker protocol 2 that pulls, or choose the method "auto"',
  );
}
