import { createServer, type Server, type Socket } from 'node:net';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { PendingConnections } from '@checkpoint-engine/interface/wire';
import { encodeFrame, FrameDecoder } from '../frames.ts';
import { randomId } from './key.ts';
import {
  type Entry,
  type Hello,
  maxHandshakeBytes,
  maxMessageBytes,
  type Request,
  readHello,
  readRequest,
} from './messages.ts';
import { channelKey, isProof, prove } from './proof.ts';
import type { RangeTable } from './range-table.ts';

const handshakeMs = 10_000;
const keepAliveMs = 10_000;
const maxConnections = 4096;
/** Maximum number of connections that have not proved knowledge of the key. */
const maxPending = 128;
const longestLeaseMs = 3_600_000;

/** Options of the owner's side of the control channel. */
export interface ControlServerOptions {
  readonly host: string;
  /** The server uses the first free port; 0 means any port. */
  readonly ports: readonly number[];
  readonly incarnation: string;
  readonly secret: string;
  readonly token: string | undefined;
  readonly ranges: RangeTable;
}

/** Answers readers' queries whether ranges are still registered, and tracks their leases. */
export class ControlServer {
  readonly port: number;
  /** The engine's address, by which readers identify this owner. */
  address = '';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pending = new PendingConnections({ maxCount: maxPending, timeoutMs: handshakeMs });
  readonly #options: ControlServerOptions;
  readonly #key: Uint8Array;

  private constructor(server: Server, port: number, options: ControlServerOptions) {
    this.#server = server;
    this.port = port;
    this.#options = options;
    this.#key = channelKey(options.secret, options.token);
    server.maxConnections = maxConnections;
    server.removeAllListeners('error');
    server.on('error', () => {}); // A connection could not be accepted: its other side notices.
    server.on('connection', (socket) => this.#serve(socket));
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID` if the host is not an address of this machine. */
  static async listen(options: ControlServerOptions): Promise<ControlServer> {
    let failure: NodeJS.ErrnoException | undefined;
    for (const port of options.ports) {
      const server = createServer();
      failure = await listening(server, port, options.host);
      const bound = server.address();
      if (failure === undefined && typeof bound === 'object' && bound !== null) {
        return new ControlServer(server, bound.port, options);
      }
      if (failure?.code !== 'EADDRINUSE') break;
    }
    throw cannotListen(options.host, failure!);
  }

  async close(): Promise<void> {
    this.#pending.close();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const leases = new Set<number>();
    socket.once('close', () => {
      this.#sockets.delete(socket);
      for (const lease of leases) this.#options.ranges.release(lease);
    });
    socket.on('error', () => {}); // 'close' follows
    socket.setNoDelay(true).setKeepAlive(true, keepAliveMs);
    const candidate = this.#pending.admit(socket);

    const decoder = new FrameDecoder(maxHandshakeBytes);
    let expected: string | undefined;
    let isKnown = false;
    const take = (message: unknown): void => {
      if (isKnown) {
        this.#answer(socket, leases, readRequest(message, leases.size));
      } else if (expected === undefined) {
        expected = this.#welcome(socket, readHello(message));
        candidate.advance();
      } else if (isProof((message as Entry | null)?.proof, expected)) {
        isKnown = true;
        candidate.accept();
        decoder.maxBytes = maxMessageBytes;
      } else {
        throw new RangeError('it does not know the key');
      }
    };
    socket.on('data', (piece) => {
      if (candidate.isClosed) return;
      try {
        for (const message of decoder.push(piece)) take(message);
      } catch (error) {
        candidate.refuse(error instanceof Error ? error.message : String(error));
      }
    });
  }

  /** Answers a hello. Returns the proof that the reader must send. */
  #welcome(socket: Socket, hello: Hello): string | undefined {
    const { address } = this;
    const { incarnation } = this.#options;
    if (hello.incarnation !== incarnation) {
      socket.end(encodeFrame({ another: true }));
      return undefined;
    }
    const nonce = randomId();
    const meeting = { incarnation, address, ownerNonce: nonce, readerNonce: hello.nonce };
    socket.write(encodeFrame({ incarnation, address, nonce, proof: prove(this.#key, 'owner', meeting) }));
    return prove(this.#key, 'reader', meeting);
  }

  #answer(socket: Socket, leases: Set<number>, request: Request): void {
    const { ranges } = this.#options;
    if (request.op === 'release') {
      leases.delete(request.lease);
      socket.write(encodeFrame({ id: request.id, held: ranges.release(request.lease) }));
      return;
    }
    const ttlMs = Math.min(Math.max(request.ttlMs, 1), longestLeaseMs);
    const given = ranges.lease(request.ranges, ttlMs);
    if ('lease' in given) leases.add(given.lease);
    socket.write(encodeFrame({ id: request.id, ...given }));
  }
}

/** Checks that a host is an address of this machine. @throws `CE_CONFIG_INVALID` */
export async function checkHost(host: string): Promise<void> {
  const server = createServer();
  const failure = await listening(server, 0, host);
  server.close();
  if (failure !== undefined) throw cannotListen(host, failure);
}

function listening(server: Server, port: number, host: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen(port, host, () => resolve(undefined));
  });
}

function cannotListen(host: string, failure: NodeJS.ErrnoException): CheckpointEngineError {
  const inUse = failure.code === 'EADDRINUSE';
  return new CheckpointEngineError(
    inUse ? 'CE_ADDRESS_IN_USE' : 'CE_CONFIG_INVALID',
    `The control channel cannot listen on ${host}: ${failure.message}`,
    inUse ? 'Pass a wider range of ports' : 'Pass an address of this machine as host',
    { op: 'open', cause: failure },
  );
}
