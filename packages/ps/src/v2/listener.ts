import { timingSafeEqual } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { PendingConnections } from '@checkpoint-engine/interface/wire';
import type { SessionAddress } from './address.ts';
import { encodeFrame, FrameReader, type ReceivedMessage } from './frames.ts';

/** Time limit for a caller to present the key. */
const HELLO_TIMEOUT_MS = 5_000;
/** Maximum number of callers that have not presented the key yet. One more replaces the oldest. */
const MAX_PENDING = 128;

/** A caller that presented the key. Its next messages are in the reader. */
export interface Caller {
  readonly socket: Socket;
  readonly reader: FrameReader;
  readonly hello: ReceivedMessage;
}

/** Listens on one address and accepts only callers that present its key. Others receive only a rejection. */
export class SessionListener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pending: PendingConnections;
  readonly #key: Uint8Array;
  readonly #onCaller: (caller: Caller) => void;

  private constructor(address: SessionAddress, logger: Logger, onCaller: (caller: Caller) => void) {
    this.#key = new TextEncoder().encode(address.key);
    this.#pending = new PendingConnections({
      maxCount: MAX_PENDING,
      timeoutMs: HELLO_TIMEOUT_MS,
      onRefused: (why, count) => logger.warn({ why, count }, 'Rejected callers at a worker address'),
    });
    this.#onCaller = onCaller;
    this.#server = createServer((socket) => this.#admit(socket));
  }

  /** Opens the address. @throws `CE_ADDRESS_IN_USE`, `CE_NOT_SUPPORTED` if there is no abstract namespace. */
  static async listen(
    address: SessionAddress,
    logger: Logger,
    onCaller: (caller: Caller) => void,
  ): Promise<SessionListener> {
    const listener = new SessionListener(address, logger, onCaller);
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', (error) => reject(listenError(error, address)));
      listener.#server.listen({ path: `\0${address.socketName}` }, resolve);
    });
    listener.#server.removeAllListeners('error');
    listener.#server.on('error', (error) => logger.warn({ error }, 'A worker address cannot accept a connection'));
    return listener;
  }

  /** Stops listening and disconnects all callers. Idempotent. */
  async close(): Promise<void> {
    this.#pending.close();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Stops listening. Callers stay connected. */
  stop(): void {
    this.#server.close();
  }

  #admit(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.once('close', () => this.#sockets.delete(socket));
    const candidate = this.#pending.admit(socket);
    const reader = new FrameReader();
    const refuse = (why: string): void => {
      socket.removeListener('data', onData);
      if (socket.writable) socket.write(encodeFrame({ type: 'abort', error: refusal(why).toJSON() }));
      candidate.refuse(why);
    };
    const onData = (chunk: Uint8Array): void => {
      try {
        reader.push(chunk);
        const hello = reader.next();
        if (!hello) {
          candidate.throttle();
          return;
        }
        if (hello.type !== 'hello' || !this.#isKey(hello.key)) {
          refuse('its hello does not contain the key');
          return;
        }
        socket.removeListener('data', onData);
        candidate.accept();
        this.#onCaller({ socket, reader, hello });
      } catch (error) {
        refuse(error instanceof Error ? error.message : String(error));
      }
    };
    socket.on('data', onData);
  }

  #isKey(key: unknown): boolean {
    if (typeof key !== 'string') return false;
    const bytes = new TextEncoder().encode(key);
    return bytes.byteLength === this.#key.byteLength && timingSafeEqual(bytes, this.#key);
  }
}

function refusal(why: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TOKEN_REFUSED',
    `The parameter server rejected the worker: ${why}`,
    'Connect with the complete address that the engine received for this update, including the key',
  );
}

function listenError(error: NodeJS.ErrnoException, address: SessionAddress): CheckpointEngineError {
  const code = error.code === 'EADDRINUSE' ? 'CE_ADDRESS_IN_USE' : 'CE_NOT_SUPPORTED';
  return new CheckpointEngineError(
    code,
    `Cannot listen on the abstract Unix socket "${address.socketName}": ${error.message}`,
    'Run on Linux, where abstract sockets exist, and try again',
    { op: 'listen', cause: error },
  );
}
