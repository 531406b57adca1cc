import type { Bucket } from '@checkpoint-engine/planner';
import type { BucketSource, SourceOptions } from './bucket-source.ts';
import { PeerSource } from './peer-source.ts';
import { RemotePools } from './remote-pools.ts';
import type { UpdateContext } from './update-context.ts';

/** Enough to read a byte into. */
const KNOCK_BYTES = 4096;

/**
 * Opens the pools of the peers that own these buckets, and looks whether they can be read from.
 *
 * @throws `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_RANGE_NOT_REGISTERED`, `CE_TIMEOUT` naming an owner.
 */
export async function openPeerSource(
  { p2p, metas, fallbacks, device, logger }: UpdateContext,
  buckets: readonly Bucket[],
  { alignBytes, signal }: Omit<SourceOptions, 'metas' | 'buckets'>,
): Promise<BucketSource> {
  const { endpoint } = p2p!;
  const pools = new RemotePools({ endpoint, metas, fallbacks, alignBytes, signal, logger });
  const memory = await device.allocateHost(KNOCK_BYTES, { shared: true });
  try {
    await pools.knock(buckets, { memory, offsetBytes: 0, sizeBytes: KNOCK_BYTES });
  } finally {
    memory.close();
  }
  return new PeerSource(pools);
}
