import { lookup } from 'node:dns/promises';
import {
  CheckpointEngineError,
  checkWorldSize,
  type Logger,
  type Store,
  type WaitOptions,
} from '@checkpoint-engine/interface';
import { connectStore } from './connect-store.ts';
import { localStore } from './local-store.ts';
import type { HeartbeatOptions } from './pulse.ts';
import { startStoreServer } from './store-server.ts';

/** Options of {@link openStore}, as launchers set them in the environment. */
export interface OpenStoreOptions extends WaitOptions, HeartbeatOptions {
  /** `RANK` */
  readonly rank: number;
  /** `WORLD_SIZE` */
  readonly worldSize: number;
  /** `MASTER_ADDR`: the host of rank 0. @default '127.0.0.1' */
  readonly masterAddr?: string | undefined;
  /** `MASTER_PORT`; not needed in a world of one. */
  readonly masterPort?: number | undefined;
  /** `CHECKPOINT_ENGINE_TOKEN`: encrypts the traffic, and admits only ranks that know it. */
  readonly token?: string | undefined;
  /** The address at which rank 0 listens, if not `masterAddr` itself, such as `0.0.0.0`. @default `masterAddr` */
  readonly listenHost?: string | undefined;
  readonly logger?: Logger | undefined;
}

/**
 * Joins the world. Rank 0 first starts the server of the world, which lives until the store is closed. A world of one
 * rank opens no socket.
 *
 * @throws `CE_ADDRESS_IN_USE`, and the errors of {@link connectStore}.
 */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
  const { rank, worldSize, masterAddr = '127.0.0.1', masterPort, timeoutMs } = options;
  checkWorldSize(worldSize);
  if (!Number.isInteger(rank) || rank < 0 || rank >= worldSize) {
    throw new RangeError(`rank must be 0 to ${worldSize - 1}, not ${rank}`);
  }
  if (worldSize === 1) return localStore({ timeoutMs });
  if (masterPort === undefined) throw new TypeError('masterPort is required in a world of more than one rank');
  if (rank > 0) return connectStore({ ...options, host: masterAddr, port: masterPort });
  const server = await startStoreServer({
    ...options,
    host: options.listenHost ?? (await resolve(masterAddr)),
    port: masterPort,
  });
  try {
    const address = server.address.replace('0.0.0.0', '127.0.0.1').replace('[::]', '[::1]');
    return await connectStore({ ...options, address, onClose: () => server.close() });
  } catch (error) {
    await server.close();
    throw error;
  }
}

async function resolve(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    const what = `MASTER_ADDR "${host}" does not resolve on rank 0`;
    throw new CheckpointEngineError('CE_CONFIG_INVALID', what, 'Set it to a name or address of rank 0', { cause });
  }
}
