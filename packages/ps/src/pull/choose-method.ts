import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { UpdateOptions } from '../api.ts';
import type { ChosenMethod } from '../update/method.ts';
import type { Offer } from './offer.ts';

/**
 * Chooses the method: workers copy what they keep if all of them can; otherwise all workers receive all buckets.
 *
 * @throws `CE_NOT_SUPPORTED` Pulling was requested, and some worker cannot pull.
 */
export function chooseMethod(wanted: UpdateOptions['method'], offers: ReadonlyMap<number, Offer>): ChosenMethod {
  for (const { refusal } of offers.values()) {
    if (refusal === null) continue;
    if (wanted !== 'pull') return { name: 'buckets', reason: refusal };
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      `The weights cannot be pulled: ${refusal}`,
      'Use workers that can pull, give the ranks a P2P transport, or set the method to "auto"',
    );
  }
  const pulling = [...offers.values()].filter(({ pulls }) => pulls).length;
  const reason =
    pulling === 0
      ? 'Every worker receives what it keeps in buckets, through its loader'
      : 'Every worker copies the bytes that it keeps from memory of its host';
  return { name: 'pull', reason };
}
