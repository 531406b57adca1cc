import { Buffer } from 'node:buffer';
import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { CurveFront } from './front/curve-front.ts';
import type { LocalSocket } from './front/local-socket.ts';
import { bindPrivately, type PrivateAddress } from './front/private-address.ts';
import { pump } from './pump.ts';
import type { Addressed, StoreRouter } from './router.ts';
import { openRouter } from './zmq/router-socket.ts';
import type { ZmqSocket } from './zmq/socket.ts';

/** How long a client may take to prove that it knows the token. */
const HANDSHAKE_MS = 5_000;

/** Options of {@link CurveRouter.listen}. */
export interface CurveRouterOptions {
  readonly host: string;
  readonly port: number;
  readonly worldSize: number;
  readonly secretKey: string;
  readonly peerTimeoutMs: number;
  readonly logger: Logger;
}

/**
 * The router of a world with a token. ZeroMQ encrypts, and accepts only clients that know the token; the listener in
 * front of it limits the number of clients. Ranks of the same user on the same machine connect to ZeroMQ directly.
 */
export class CurveRouter implements StoreRouter {
  readonly #socket: ZmqSocket;
  readonly #inner: PrivateAddress;
  readonly #front: CurveFront;
  readonly #logger: Logger;
  #receiving: Promise<void> | undefined;

  private constructor(socket: ZmqSocket, inner: PrivateAddress, front: CurveFront, logger: Logger) {
    this.#socket = socket;
    this.#inner = inner;
    this.#front = front;
    this.#logger = logger;
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`. */
  static async listen(options: CurveRouterOptions): Promise<CurveRouter> {
    const { secretKey, peerTimeoutMs, logger } = options;
    const socket = openRouter({ curve: { secretKey }, peerTimeoutMs, handshakeMs: HANDSHAKE_MS });
    let inner: PrivateAddress | undefined;
    try {
      inner = await bindPrivately((path) => socket.bind(`ipc://${path}`)).catch((cause: unknown) => {
        throw noPrivateSocket(cause);
      });
      const front = await CurveFront.listen({ ...options, handshakeMs: HANDSHAKE_MS, innerPath: inner.path });
      return new CurveRouter(socket, inner, front, logger);
    } catch (error) {
      socket.close();
      inner?.close();
      throw error;
    }
  }

  get address(): string {
    return this.#front.address;
  }

  get localSocket(): LocalSocket | undefined {
    return this.#inner.local;
  }

  start(take: (message: Addressed) => void): void {
    this.#receiving = pump(this.#socket, ([identity, ...frames]) =>
      take({ identity: Buffer.from(identity!).toString('latin1'), frames }),
    ).catch((error: unknown) => this.#logger.error({ error }, 'The store cannot receive any more'));
  }

  send({ identity, frames }: Addressed): Promise<void> {
    return this.#socket.send([Buffer.from(identity, 'latin1'), ...frames]);
  }

  /** All clients at this point have proved that they know the token. */
  setJoined(): void {}

  beat(): void {}

  async close(): Promise<void> {
    this.#socket.close();
    await this.#receiving;
    await this.#front.close();
    this.#inner.close();
  }
}

function noPrivateSocket(cause: unknown): CheckpointEngineError {
  const what = `The store cannot create its socket: ${cause instanceof Error ? cause.message : String(cause)}`;
  const hint = 'Set TMPDIR to a folder that this user can write, or make /dev/shm writable';
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint, { op: 'bind', cause });
}
