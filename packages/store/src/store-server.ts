import { randomUUID } from 'node:crypto';
import { CheckpointEngineError, checkWorldSize, type Logger, silentLogger } from '@checkpoint-engine/interface';
import { portOf } from './address.ts';
import { CurveRouter } from './curve-router.ts';
import { OpenRouter } from './open-router.ts';
import { Outbox } from './outbox.ts';
import { type Heartbeat, type HeartbeatOptions, heartbeat } from './pulse.ts';
import type { Addressed, StoreRouter } from './router.ts';
import { Sessions } from './sessions.ts';
import { deriveTokenKeys, type TokenKeys } from './token-keys.ts';
import { World } from './world.ts';
import { curveIsAvailable } from './zmq/curve.ts';

/** Time for which a closing server continues to send to its clients. */
const FLUSH_MS = 1_000;
/** How long a client may stay without joining, in addition to the time in which a lost rank is detected. */
const JOIN_TIMEOUT_MS = 5_000;

/** Options of {@link startStoreServer}. */
export interface StoreServerOptions extends HeartbeatOptions {
  /** Address to listen on. @default '127.0.0.1' */
  readonly host?: string | undefined;
  /** 0 takes any free port. */
  readonly port: number;
  readonly worldSize: number;
  /**
   * Secret that every rank shares. With it all traffic is encrypted and only ranks that know it can join; without it,
   * anyone who reaches the port can. Use a long random secret: it is not stretched.
   */
  readonly token?: string | undefined;
  readonly logger?: Logger | undefined;
}

/** The rendezvous of one world. It runs in the process of rank 0. */
export interface StoreServer {
  /** `tcp://host:port` */
  readonly address: string;
  readonly port: number;
  /**
   * Drops a rank whose process is known to have ended, before it has been silent for `lostAfterMs`: the others learn of
   * it at once, and its successor is admitted.
   *
   * @param what How it ended, as a sentence without a period.
   */
  lose(rank: number, what: string): void;
  /**
   * Tells every rank that the server closes, waits until they have received their last messages (at most
   * `lostAfterMs`), and releases the port. Idempotent.
   */
  close(): Promise<void>;
  /** The same as `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts the server where the ranks of one world meet.
 *
 * @throws `CE_ADDRESS_IN_USE` with the port, `CE_CONFIG_INVALID` for a host that is not an address of this machine.
 * @throws {RangeError} `port` or `worldSize` is out of range.
 */
export async function startStoreServer(options: StoreServerOptions): Promise<StoreServer> {
  const { host = '127.0.0.1', port, worldSize, token } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new RangeError(`port must be 0 to 65535, not ${port}`);
  checkWorldSize(worldSize);
  const times = heartbeat(options);
  const keys = token === undefined ? undefined : deriveTokenKeys(token);
  if (keys !== undefined && !curveIsAvailable()) throw curveMissing();
  const logger = options.logger ?? silentLogger;
  const router = await listen(host, port, worldSize, keys, times, logger);
  return new RunningServer(router, worldSize, keys, times, logger);
}

/**
 * Opens the router of a world: with a token that of ZeroMQ, which encrypts, otherwise one that limits unknown clients.
 */
async function listen(
  host: string,
  port: number,
  worldSize: number,
  keys: TokenKeys | undefined,
  { lostAfterMs }: Heartbeat,
  logger: Logger,
): Promise<StoreRouter> {
  try {
    if (keys === undefined) {
      const joinTimeoutMs = JOIN_TIMEOUT_MS + 3 * lostAfterMs;
      return await OpenRouter.listen({ host, port, worldSize, joinTimeoutMs, logger });
    }
    const { serverSecretKey: secretKey } = keys;
    return await CurveRouter.listen({ host, port, worldSize, secretKey, peerTimeoutMs: 2 * lostAfterMs, logger });
  } catch (error) {
    throw CheckpointEngineError.isInstance(error) ? bindFailure(error, host, port) : error;
  }
}

class RunningServer implements StoreServer {
  readonly address: string;
  readonly port: number;
  readonly #router: StoreRouter;
  readonly #heartbeat: Heartbeat;
  readonly #outbox: Outbox<Addressed>;
  readonly #sessions: Sessions;
  readonly #timer: NodeJS.Timeout;
  #closing: Promise<void> | undefined;

  constructor(router: StoreRouter, worldSize: number, keys: TokenKeys | undefined, times: Heartbeat, logger: Logger) {
    this.address = router.address;
    this.port = portOf(router.address);
    this.#router = router;
    this.#heartbeat = times;
    this.#outbox = new Outbox((message) => router.send(message));
    const server = randomUUID();
    this.#sessions = new Sessions({
      world: new World(worldSize, { server, ...times }),
      server,
      keys,
      localSocket: router.localSocket,
      heartbeat: times,
      logger,
      push: (identity, messages, urgent) => this.#outbox.push(addressed(identity, messages), urgent),
      setJoined: (identity, hasJoined) => router.setJoined(identity, hasJoined),
    });
    this.#timer = setInterval(() => {
      this.#sessions.beat();
      router.beat();
    }, times.heartbeatMs);
    router.start(({ identity, frames }) => {
      try {
        this.#sessions.receive(identity, frames);
      } catch (error) {
        // No message of one client affects the others.
        logger.warn({ error }, 'The store cannot handle a message');
      }
    });
    logger.info({ address: this.address, worldSize, encrypted: keys !== undefined }, 'The store listens');
  }

  lose(rank: number, what: string): void {
    this.#sessions.lose(rank, what);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#sessions.close(this.#heartbeat.lostAfterMs);
    clearInterval(this.#timer);
    await this.#outbox.flush(FLUSH_MS);
    await this.#router.close();
  }
}

function* addressed(identity: string, messages: Iterable<Uint8Array[]>): Generator<Addressed> {
  for (const frames of messages) yield { identity, frames };
}

function bindFailure(error: CheckpointEngineError, host: string, port: number): CheckpointEngineError {
  const details = { op: 'bind', peer: `${host}:${port}`, cause: error };
  if (error.code === 'CE_ADDRESS_IN_USE') {
    const what = `Port ${port} on ${host}, which the store of rank 0 needs, is in use`;
    const hint = 'Set MASTER_PORT to a free port on every rank, or stop the process that uses this one';
    return new CheckpointEngineError('CE_ADDRESS_IN_USE', what, hint, details);
  }
  const what = `The store of rank 0 cannot listen on ${host}:${port}`;
  const hint = 'Set MASTER_ADDR to an address of the machine of rank 0, or the host to listen on to 0.0.0.0';
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint, details);
}

function curveMissing(): CheckpointEngineError {
  const what = 'This build of ZeroMQ cannot encrypt';
  return new CheckpointEngineError('CE_NOT_SUPPORTED', what, 'Reinstall the package zeromq, or run without a token');
}
