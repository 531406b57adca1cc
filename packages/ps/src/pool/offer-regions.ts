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

/**
 * Lets peers read the memory of a checkpoint.
 *
 * @returns By region; none for a file on disk, and for memory that the transport cannot share. Nothing is registered
 * when it rejects.
 */
export async function offerRegions(
  regions: readonly HeldRegion[],
  context: OfferContext,
): Promise<(Registration | undefined)[]> {
  const registrations: (Registration | undefined)[] = [];
  try {
    for (const { memory, sizeBytes } of regions) {
      registrations.push(memory && (await register({ memory, offsetBytes: 0, sizeBytes }, context)));
    }
    return registrations;
  } catch (error) {
    for (const registration of registrations) await registration?.close();
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
