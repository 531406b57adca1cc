import type { BroadcastGroup, BroadcastTransport, JoinOptions } from '@checkpoint-engine/interface';
import { openNccl } from './library.ts';
import { NcclGroup } from './nccl-group.ts';

/** Broadcasts that may be pending on a group: enough to keep the stream filled. */
const MAX_PENDING = 8;

/**
 * Broadcast between GPUs over NCCL, one rank a GPU.
 *
 * The library is opened when the first group is joined. A communicator lives as long as its group; its calls are made on
 * a thread of its own and on a stream of its own.
 *
 * @example
 * ```ts
 * const server = await ParameterServer.create({ store, device: await createCudaDevice({ index: 0 }), broadcast: nccl() });
 * ```
 */
export function nccl(): BroadcastTransport {
  const groups = new Set<NcclGroup>();
  return {
    specVersion: 1,
    name: 'nccl',
    supports: { memory: ['device'], outOfPlace: true, split: true, maxPending: MAX_PENDING },
    async join(options: JoinOptions): Promise<BroadcastGroup> {
      openNccl();
      const group = await NcclGroup.join(options);
      groups.add(group);
      return group;
    },
    async close(): Promise<void> {
      for (const group of groups) await group.close();
      groups.clear();
    },
  };
}
