import {
  CheckpointEngineError,
  type Logger,
  type MemoryRange,
  type P2PEndpoint,
  type Registration,
} from '@checkpoint-engine/interface';
import type { HeldRegion } from './held-checkpoint.ts';

/** What offering memory needs of the rank. */
export interface OfferContext {
  readonly endpoint: P2PEndpoint;
  readonly rank: number;
  readonly logger: Logger;
}

/** How peers read what was offered to them: not at all a file on disk, and memory that the transport cannot share. */
export type Offers = ReadonlyMap<HeldRegion, Registration | undefined>;

/** Lets peers read regions of a checkpoint. Nothing is registered when it rejects. */
export async function offerRegions(regions: readonly HeldRegion[], context: OfferContext): Promise<Offers> {
  const offers = new Map<HeldRegion, Registration | undefined>();
  try {
    for (const region of regions) {
      const { memory, sizeBytes } = region;
      offers.set(region, memory && (await register({ memory, offsetBytes: 0, sizeBytes }, context)));
    }
    return offers;
  } catch (error) {
    for (const registration of offers.values()) await registration?.close();
    throw error;
  }
}

/** Nothing where the transport cannot share memory of this kind: a file in place, for one. Then this rank only sends. */
async function register(
  range: MemoryRange,
  { endpoint, rank, logger }: OfferContext,
): Promise<Registration | undefined> {
  try {
    return await endpoint.register(range);
  } catch (error) {
    if (!CheckpointEngineError.isInstance(error) || error.code !== 'CE_NOT_SUPPORTED') throw error;
    logger.warn({ rank, err: error }, 'Peers cannot read part of a checkpoint here');
    return undefined;
  }
}
