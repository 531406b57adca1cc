import { Buffer } from 'node:buffer';
import type { Logger } from '@checkpoint-engine/interface';
import { portOf, tcpAddress } from './address.ts';
import { portReleased } from './port-released.ts';
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
  readonly secretKey: string;
  readonly peerTimeoutMs: number;
  readonly logger: Logger;
}

/** The router of a world with a token. ZeroMQ encrypts, and accepts only clients that know the token. */
export class CurveRouter implements StoreRouter {
  readonly address: string;
  readonly #socket: ZmqSocket;
  readonly #host: string;
  readonly #logger: Logger;
  #receiving: Promise<void> | undefined;

  private constructor(socket: ZmqSocket, { host, logger }: CurveRouterOptions) {
    this.#socket = socket;
    this.#host = host;
    this.#logger = logger;
    this.address = socket.address;
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`. */
  static async listen(options: CurveRouterOptions): Promise<CurveRouter> {
    const { host, port, secretKey, peerTimeoutMs } = options;
    const socket = openRouter({
      curve: { secretKey },
      ipv6: host.includes(':'),
      peerTimeoutMs,
      handshakeMs: HANDSHAKE_MS,
    });
    try {
      await socket.bind(tcpAddress(host, port));
    } catch (error) {
      socket.close();
      throw error;
    }
    return new CurveRouter(socket, options);
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
    // ZeroMQ closes the listener on its own thread.
    await portReleased(this.#host, portOf(this.address));
  }
}
