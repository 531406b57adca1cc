import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { UpdateOptions } from '../api.ts';
import type { Strategy } from '../update/strategy.ts';
import type { Offer } from './offer.ts';

/**
 * Says how the bytes come: workers copy what they keep where all of them can, otherwise all gets to all in buckets.
 *
 * @throws `CE_NOT_SUPPORTED` Pulling was asked for, and some worker cannot.
 */
export function chooseStrategy(wanted: UpdateOptions['strategy'], offers: ReadonlyMap<number, Offer>): Strategy {
  for (const { refusal } of offers.values()) {
    if (refusal === null) continue;
    if (wanted !== 'pull') return { name: 'buckets', reason: refusal };
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      `The weights cannot be pulled: ${refusal}`,
      'Let workers say what they keep and give the ranks a P2P transport, or leave the strategy at "auto"',
    );
  }
  const pulling = [...offers.values()].filter(({ pulls }) => pulls).length;
  const reason =
    pulling === 0
      ? 'Every worker takes what it keeps through its loader, in buckets'
      : 'Every worker copies the bytes that it keeps out of memory of its host';
  return { name: 'pull', reason };
}
