import {
  type BroadcastGroup,
  type BroadcastTransport,
  CheckpointEngineError,
  type JoinOptions,
} from '@checkpoint-engine/interface';
import { openNccl } from './library.ts';
import { MAX_PENDING, NcclGroup } from './nccl-group.ts';

/**
 * Broadcast between GPUs over NCCL, with one rank per GPU.
 *
 * The first join opens the library. A communicator lives as long as its group; a separate thread makes its calls, on
 * a separate stream.
 *
 * NCCL does not compare the calls of members: members that differ in size or root wait for each other until the group
 * is aborted, or receive wrong bytes. The parameter server therefore compares plans before it sends.
 *
 * @example
 * ```ts
 * const server = await ParameterServer.create({ store, device: await createCudaDevice({ index: 0 }), broadcast: nccl()
 * });
 * ```
 */
export function nccl(): BroadcastTransport {
  const groups = new Set<NcclGroup>();
  let isClosed = false;
  return {
    specVersion: 1,
    name: 'nccl',
    supports: { memory: ['device'], outOfPlace: true, sharedTarget: false, maxPending: MAX_PENDING },
    async join(options: JoinOptions): Promise<BroadcastGroup> {
      if (isClosed) throw closedError(options.store.rank);
      openNccl();
      const group = await NcclGroup.join(options, (closed) => void groups.delete(closed));
      groups.add(group);
      if (!isClosed) return group;
      await group.close();
      throw closedError(options.store.rank);
    },
    async close(): Promise<void> {
      isClosed = true;
      await Promise.all([...groups].map((group) => group.close()));
    },
  };
}

function closedError(rank: number): CheckpointEngineError {
  return new CheckpointEngineError('CE_CLOSED', 'This NCCL transport is closed', 'Create a new one', { rank });
}
