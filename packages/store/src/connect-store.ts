import {
  abortError,
  type CheckpointEngineError,
  type Logger,
  type Store,
  silentLogger,
  type WaitOptions,
} from '@checkpoint-engine/interface';
import { Deadline } from '@checkpoint-engine/interface/shared';
import { normalizeAddress, tcpAddress } from './address.ts';
import { ClientWorld } from './client-world.ts';
import { ServerLink, unreachable } from './server-link.ts';
import { deriveTokenKeys } from './token-keys.ts';

/** Default time-out of joining and of every call of a store. */
export const STORE_TIMEOUT_MS = 300_000;

/** The address of the store server: as one string, or host and port. */
export type StoreLocation =
  | { readonly address: string; readonly host?: undefined; readonly port?: undefined }
  | { readonly address?: undefined; readonly host: string; readonly port: number };

/** Options of {@link connectStore}. */
export type ConnectStoreOptions = StoreLocation &
  WaitOptions & {
    readonly rank: number;
    readonly worldSize: number;
    /** The server's token. */
    readonly token?: string | undefined;
    /** Time-out of joining, and the default of every call. @default 300_000 */
    readonly timeoutMs?: number | undefined;
    /** Aborts only the joining. */
    readonly signal?: AbortSignal | undefined;
    readonly logger?: Logger | undefined;
    /** Called once when the world continues without this rank, or its server has ended: this store is unusable then. */
    readonly onLost?: ((error: CheckpointEngineError) => void) | undefined;
    /** Called when the store has been closed. */
    readonly onClose?: (() => Promise<void>) | undefined;
  };

/**
 * Joins a world of ranks. Resolves once the server has admitted this rank; other ranks may join later.
 *
 * A restarted rank joins again under its number: calls that wait in old epochs have failed, and new epochs work. The
 * outermost scope starts over, empty and with a new `signal`, once no rank is missing any more.
 *
 * @throws `CE_STORE_UNREACHABLE` No answer in time: address, port or token differ, or rank 0 does not run.
 * @throws `CE_CONFIG_INVALID` The rank has joined already, or the world size differs.
 * @throws `CE_TOKEN_REFUSED`, `CE_ABORTED`.
 */
export async function connectStore(options: ConnectStoreOptions): Promise<Store> {
  const {
    rank,
    worldSize,
    token,
    timeoutMs = STORE_TIMEOUT_MS,
    signal,
    logger = silentLogger,
    onClose,
    onLost,
  } = options;
  if (signal?.aborted) throw abortError(signal, 'Joining the store');
  const address =
    options.address === undefined ? tcpAddress(options.host, options.port) : normalizeAddress(options.address);
  let world: ClientWorld | undefined;
  const link = new ServerLink({
    address,
    rank,
    worldSize,
    keys: token === undefined ? undefined : deriveTokenKeys(token),
    logger,
    onMessage: (received) => world?.receive(received),
    onLost: (error) => {
      logger.warn({ rank, code: error.code }, error.message);
      world?.fail(error);
      onLost?.(error);
    },
  });
  // Created in the same turn as the welcome is read, so that no message after it is missed.
  const joined = link.welcome.then(({ generation }) => {
    world = new ClientWorld({ rank, worldSize, timeoutMs, link, generation, onClose });
    return world.root;
  });
  try {
    return await new Deadline('Joining the store', { timeoutMs, signal }, timeoutMs).race(joined);
  } catch (error) {
    await link.close();
    if (isTimeout(error)) throw unreachable(address, `did not admit rank ${rank} within ${timeoutMs} ms`);
    throw error;
  }
}

const isTimeout = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'CE_TIMEOUT';
