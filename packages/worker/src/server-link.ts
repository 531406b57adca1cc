import { connect, type Socket } from 'node:net';
import { pid } from 'node:process';
import {
  abortError,
  CheckpointEngineError,
  LONGEST_TIMER_MS,
  type ServerMessage,
  toCheckpointEngineError,
  WORKER_PROTOCOL_VERSION,
  WORKER_PULL_VERSION,
  type WorkerMessage,
} from '@checkpoint-engine/interface';
import type { WorkerAddress } from './address.ts';
import { encodeFrame, FrameReader } from './frames.ts';
import { readServerMessage, serverAborted, serverBroke } from './server-message.ts';
import { toWire } from './worker-error.ts';

/** Time for the server to disconnect after this side has disconnected. */
const LINGER_MS = 2_000;

/** Options of {@link ServerLink.connect}. */
export interface LinkOptions {
  /** Time limit for each message of the server. */
  readonly timeoutMs: number;
  /** Ends the link when it fires. */
  readonly signal: AbortSignal | undefined;
  /** Whether to offer to pull. */
  readonly canPull: boolean;
  /** Version of the weights, if this worker keeps one. */
  readonly holds: string | undefined;
  /** Whether the worker can report digests of its engine's data. */
  readonly canDigest: boolean;
}

interface Waiter {
  readonly resolve: (message: ServerMessage) => void;
  readonly reject: (error: CheckpointEngineError) => void;
}

/**
 * The connection to the parameter server: ordered messages, one reader at a time. The first failure (an abort or the
 * death of the server, a broken frame, or a failure of this side) ends it permanently and rejects the reader at once.
 */
export class ServerLink {
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  /** Called once, when the link fails. */
  onFailure: (error: CheckpointEngineError) => void = () => {};
  /** Maximum number of unread messages. The server violates the protocol with one more. */
  maxUnread = 1;
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #reader = new FrameReader();
  readonly #unread: ServerMessage[] = [];
  #waiter: Waiter | undefined;
  #failure: CheckpointEngineError | undefined;
  #isEnding = false;
  /** Later messages, and the end of the connection, do not belong to the update. */
  #isOver = false;

  private constructor(socket: Socket, { timeoutMs, signal }: LinkOptions) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    const onAbort = (): void => this.fail(abortError(signal!, 'The update'));
    signal?.addEventListener('abort', onAbort, { once: true });
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }),
    );
    let cause: Error | undefined;
    socket.on('error', (error) => {
      cause = error;
    });
    socket.on('data', (chunk: Uint8Array) => this.#read(chunk));
    socket.once('end', () => this.fail(serverLost()));
    socket.once('close', () => this.fail(serverLost(cause)));
  }

  /**
   * Connects and presents the key.
   *
   * @throws `CE_PEER_UNREACHABLE`, `CE_ABORTED`.
   */
  static async connect(address: WorkerAddress, options: LinkOptions): Promise<ServerLink> {
    const { signal } = options;
    if (signal?.aborted) throw abortError(signal, 'The update');
    // The end of the stream signals to the server that the buffer is unmapped, so this side ends its half explicitly.
    const socket = connect({ path: `\0${address.socketName}`, allowHalfOpen: true });
    const timer = setTimeout(
      () => socket.destroy(new Error(`no answer within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    );
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', (error) => reject(unreachable(address, error)));
      });
    } finally {
      clearTimeout(timer);
    }
    socket.removeAllListeners('error');
    const link = new ServerLink(socket, options);
    const pull = options.canPull
      ? { version: WORKER_PULL_VERSION, provesParts: true, digests: options.canDigest }
      : undefined;
    const { holds } = options;
    link.send({ type: 'hello', protocol: WORKER_PROTOCOL_VERSION, key: address.key, pid, holds, pull });
    return link;
  }

  /** The error that ended the link. */
  get failure(): CheckpointEngineError | undefined {
    return this.#failure;
  }

  /** Returns the next message. @throws The error that ended the link, or `CE_TIMEOUT`, which also ends it. */
  receive(): Promise<ServerMessage> {
    if (this.#failure) return Promise.reject(this.#failure);
    const message = this.#unread.shift();
    if (message) return Promise.resolve(message);
    return new Promise((resolve, reject) => {
      const timeoutMs = Math.min(this.#timeoutMs, LONGEST_TIMER_MS);
      const timer = setTimeout(() => this.fail(silence(this.#timeoutMs)), timeoutMs);
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        this.#waiter = undefined;
        act();
      };
      this.#waiter = {
        resolve: (received) => settle(() => resolve(received)),
        reject: (error) => settle(() => reject(error)),
      };
    });
  }

  /** Queues a received message for the next {@link ServerLink.receive}. */
  putBack(message: ServerMessage): void {
    this.#unread.unshift(message);
  }

  /** Marks the update as ended while the connection stays: its end is no longer a failure. */
  idle(): void {
    this.#isOver = true;
    this.#socket.once('end', () => this.#socket.end());
    if (this.#socket.readableEnded) this.#socket.end();
  }

  /** Sends a message; does nothing once the link has ended. */
  send(message: WorkerMessage): void {
    if (this.#socket.writable) this.#socket.write(encodeFrame(message));
  }

  /** Ends the link: the reader rejects with this error, and the server receives it. The first error wins. */
  fail(error: CheckpointEngineError): void {
    if (this.#failure || this.#isEnding || this.#isOver) return;
    this.#failure = error;
    this.#unread.length = 0;
    this.#waiter?.reject(error);
    this.send({ type: 'error', error: toWire(error) });
    this.onFailure(error);
  }

  /** Disconnects after pending data is sent, which signals to the server that the buffer is unmapped. Idempotent. */
  async end(): Promise<void> {
    this.#isEnding = true;
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    await this.closed;
    clearTimeout(timer);
  }

  #read(chunk: Uint8Array): void {
    if (this.#failure || this.#isEnding || this.#isOver) return;
    try {
      this.#reader.push(chunk);
      for (let value = this.#reader.next(); value !== undefined; value = this.#reader.next()) {
        this.#take(readServerMessage(value));
      }
    } catch (error) {
      const isKnown = CheckpointEngineError.isInstance(error);
      this.fail(isKnown ? error : serverBroke(toCheckpointEngineError(error).message, undefined, error));
    }
  }

  #take(message: ServerMessage): void {
    if (message.type === 'abort') this.fail(serverAborted(message.error));
    else if (this.#waiter) this.#waiter.resolve(message);
    else if (this.#unread.length < this.maxUnread) this.#unread.push(message);
    else throw serverBroke(`"${message.type}" although ${this.maxUnread} messages are unread`);
  }
}

function serverLost(cause?: Error): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_PEER_LOST',
    'The parameter server closed its connection during the update',
    "Check the parameter server's log for why it died, and run the update again",
    { cause, retryable: true },
  );
}

function silence(timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `The parameter server did not answer for ${timeoutMs} ms`,
    'Raise timeoutMs, or check the log of the parameter server',
    { retryable: true },
  );
}

function unreachable(address: WorkerAddress, cause: Error): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_PEER_UNREACHABLE',
    `No parameter server listens on the abstract Unix socket "${address.socketName}": ${cause.message.replaceAll('\0', '@')}`,
    'Check that the update still runs, and that both processes share a network namespace',
    { op: 'connect', peer: address.socketName, cause, retryable: true },
  );
}
