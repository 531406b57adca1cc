import type { Server, Socket } from 'node:net';
import type { Logger } from '@checkpoint-engine/interface';
import { PendingConnections } from '@checkpoint-engine/interface/wire';
import { listenTcp, type TcpListener } from '../listen-tcp.ts';
import { FrontConnection } from './front-connection.ts';
import { ProvenClients } from './proven-clients.ts';

/** Connections that have not proved that they know the token, in addition to two per rank. */
const MAX_PENDING = 128;
/** Connections that have proved it, in addition to two per rank. */
const MAX_PROVEN = 64;
/** How long a closing connection continues to send. */
const FLUSH_MS = 500;
const KEEP_ALIVE_MS = 10_000;

/** Options of {@link CurveFront.listen}. */
export interface CurveFrontOptions {
  readonly host: string;
  readonly port: number;
  readonly worldSize: number;
  /** How long a client may take to prove that it knows the token. */
  readonly handshakeMs: number;
  /** Path of the Unix socket of ZeroMQ, which encrypts. */
  readonly innerPath: string;
  readonly logger: Logger;
}

/**
 * The port of a world with a token. ZeroMQ cannot limit the number of its connections, and cannot close one of them, so
 * this listener accepts them, limits them, and passes the bytes to ZeroMQ, which checks and decrypts them.
 */
export class CurveFront {
  readonly address: string;
  readonly #server: Server;
  readonly #options: CurveFrontOptions;
  readonly #pending: PendingConnections;
  readonly #proven: ProvenClients;
  readonly #sockets = new Set<Socket>();

  private constructor({ server, address }: TcpListener, options: CurveFrontOptions) {
    const { worldSize, handshakeMs, logger } = options;
    this.address = address;
    this.#server = server;
    this.#options = options;
    this.#pending = new PendingConnections({
      maxCount: MAX_PENDING + 2 * worldSize,
      timeoutMs: handshakeMs,
      onRefused: (why, count) =>
        logger.warn({ why, count }, 'The store rejected connections of clients that did not prove the token'),
    });
    this.#proven = new ProvenClients(MAX_PROVEN + 2 * worldSize);
    server.on('connection', (client) => this.#admit(client));
    server.on('error', (error) => logger.warn({ error }, 'The store cannot accept a connection'));
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`. */
  static async listen(options: CurveFrontOptions): Promise<CurveFront> {
    return new CurveFront(await listenTcp(options.host, options.port), options);
  }

  /** Releases the port once ZeroMQ has closed its connections, at the latest after half a second. Idempotent. */
  async close(): Promise<void> {
    this.#pending.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, FLUSH_MS);
    await closed;
    clearTimeout(timer);
  }

  #admit(client: Socket): void {
    this.#sockets.add(client);
    client.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
    const connection: FrontConnection = new FrontConnection({
      client,
      candidate: this.#pending.admit(client),
      innerPath: this.#options.innerPath,
      onProven: () => {
        const left = this.#proven.add(connection);
        if (left !== undefined) this.#options.logger.warn({}, 'The store closed an idle connection for a new one');
      },
      onClosed: () => {
        this.#sockets.delete(client);
        this.#proven.delete(connection);
      },
    });
  }
}
