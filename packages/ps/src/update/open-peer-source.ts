import type { Bucket } from '@checkpoint-engine/planner';
import type { BucketSource, SourceOptions } from '../sources/bucket-source.ts';
import { align } from '../sources/layout.ts';
import { PeerChunks } from '../sources/peer-chunks.ts';
import { PeerSource } from '../sources/peer-source.ts';
import { ReadAheadSource } from '../sources/read-ahead-source.ts';
import { RemotePools } from '../sources/remote-pools.ts';
import { cut } from '../sources/stream-chunk.ts';
import type { UpdateContext } from './update-context.ts';

/** Enough for a read of one byte. */
const PROBE_BYTES = 4096;
const MIB = 2 ** 20;
/** Small enough that the first copy to the device starts soon, large enough that a read costs little. */
const CHUNK_BYTES = 32 * MIB;
/** Size of the pinned host memory: some chunks are read while others are copied. */
const RING_BYTES = 8 * CHUNK_BYTES;

/** The options of {@link openPeerSource}. */
export type PeerSourceOptions = Omit<SourceOptions, 'metas' | 'buckets'>;

/**
 * Opens the pools of the peers that own these buckets, and checks that they can be read. Data that the transport cannot
 * write to the device passes through pinned host memory.
 *
 * @throws `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_RANGE_NOT_REGISTERED`, `CE_TIMEOUT` with an owner.
 */
export async function openPeerSource(
  context: UpdateContext,
  buckets: readonly Bucket[],
  options: PeerSourceOptions,
): Promise<BucketSource> {
  const { p2p, metas, fallbacks, device, store } = context;
  const { endpoint, supports } = p2p!;
  const pools = new RemotePools({ ...options, endpoint, metas, fallbacks });
  const small = await device.allocateHost(PROBE_BYTES, { shared: true });
  try {
    await pools.probeOwners(buckets, { memory: small, offsetBytes: 0, sizeBytes: PROBE_BYTES });
  } finally {
    small.close();
  }
  if (supports.readsInto.includes(device.supports.hostAddressable ? 'host' : 'device')) return new PeerSource(pools);
  const chunks = buckets.flatMap((bucket) =>
    cut(bucket, CHUNK_BYTES).map((part) => ({ ...part, ringBytes: part.toBytes - part.fromBytes })),
  );
  const allBytes = chunks.reduce((sum, { ringBytes }) => sum + align(ringBytes), 0);
  const memory = await device.allocateHost(Math.max(1, Math.min(RING_BYTES, allBytes)), { shared: true });
  try {
    await memory.pin();
  } catch (error) {
    memory.close();
    throw error;
  }
  return new ReadAheadSource(new PeerChunks(pools), chunks, memory, () => memory.close(), {
    ...options,
    rank: store.rank,
  });
}
