import {
  CheckpointEngineError,
  type Logger,
  type MemoryRange,
  type P2PEndpoint,
  type Registration,
} from '@checkpoint-engine/interface';
import type { HeldRegion } from './held-checkpoint.ts';

/** The parts of the rank that this module needs. */
export interface OfferContext {
  readonly endpoint: P2PEndpoint;
  readonly rank: number;
  readonly logger: Logger;
}

/**
 * The access of peers to offered regions; undefined for a file on disk and for memory that the transport cannot share.
 */
export type Offers = ReadonlyMap<HeldRegion, Registration | undefined>;

/** Lets peers read regions of a checkpoint. Releases everything before it rejects. */
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

/**
 * Returns `undefined` if the transport cannot share memory of this kind, such as a file in place: this rank only sends
 * it.
 */
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
