import { CheckpointEngineError, type Logger, RankLostError } from '@checkpoint-engine/interface';
import type { Link } from './client-world.ts';
import { MEMBER_LIMITS, type Received, readSingle } from './framing.ts';
import { isSameMachine } from './front/local-socket.ts';
import { parseServerMessage } from './parse-message.ts';
import type { ClientMessage, ServerMessage, WelcomeMessage } from './protocol.ts';
import { Silence } from './pulse.ts';
import { ServerChannel } from './server-channel.ts';
import { prove, type TokenKeys } from './token-keys.ts';

const HELLO_EVERY_MS = 1_000;
/** Minimum interval of heartbeats, even if the server requests a shorter one. */
const MIN_HEARTBEAT_MS = 5;
/** After this time without an answer, the log lists possible reasons. */
const WARN_AFTER_MS = 5_000;

/** The options of a {@link ServerLink}. */
export interface ServerLinkOptions {
  readonly address: string;
  readonly rank: number;
  readonly worldSize: number;
  readonly keys: TokenKeys | undefined;
  readonly logger: Logger;
  /** A message after the welcome. */
  readonly onMessage: (received: Received<ServerMessage>) => void;
  /** The link has become unusable after the welcome. Called once. */
  readonly onLost: (error: CheckpointEngineError) => void;
}

/**
 * One rank's connection to the store server: hello, proof, heartbeats, then messages in both directions.
 *
 * With a token, a rank of the same user on the same machine learns the server's local socket through the first channel
 * and continues there, so that its messages do not pass the listener in front of ZeroMQ.
 */
export class ServerLink implements Link {
  /** Settles when the server has admitted or rejected this rank; never if no server answers. */
  readonly welcome: Promise<WelcomeMessage>;
  readonly #options: ServerLinkOptions;
  readonly #silence = new Silence();
  #helloTimer: NodeJS.Timeout | undefined;
  #warnTimer: NodeJS.Timeout;
  #channel: ServerChannel;
  /** Where the current channel leads; `tried` after the local socket did not answer. */
  #where: 'remote' | 'local' | 'tried' = 'remote';
  /** Channels that this link has left, while they close. */
  readonly #leaving: Promise<void>[] = [];
  #beatTimer: NodeJS.Timeout | undefined;
  #welcomed: WelcomeMessage | undefined;
  #closing: Promise<void> | undefined;
  #over = false;
  #resolve: (welcome: WelcomeMessage) => void = () => {};
  #reject: (error: CheckpointEngineError) => void = () => {};

  constructor(options: ServerLinkOptions) {
    this.#options = options;
    const { address } = options;
    this.welcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.welcome.catch(() => {});
    this.#channel = this.#open(address);
    this.#warnTimer = this.#warnLater();
  }

  send(message: ClientMessage, values?: readonly Uint8Array[]): void {
    this.#channel.send(message, values);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // A server that has not decided yet learns that this rank has left; one that never answered does not.
    if (this.#channel.isAnswered && this.#welcomed === undefined && !this.#over) this.send({ t: 'leave' });
    this.#over = true;
    this.#stopHello();
    clearInterval(this.#beatTimer);
    await Promise.all([...this.#leaving, this.#channel.close()]);
  }

  /** Opens a channel and says hello on it until it is answered. */
  #open(address: string): ServerChannel {
    const { keys, rank, worldSize } = this.#options;
    const hello = (): void => {
      if (!channel.isAnswered && !this.#over) channel.hello(rank, worldSize);
    };
    const channel: ServerChannel = new ServerChannel({
      address,
      keys,
      take: (frames) => this.#receive(channel, frames),
      onReady: hello,
    });
    hello();
    this.#helloTimer = setInterval(() => {
      // The server may have ended; its successor is at the port.
      if (this.#where === 'local') this.#move(this.#options.address, 'tried');
      else hello();
    }, HELLO_EVERY_MS);
    return channel;
  }

  /** Leaves the current channel before the server admits this rank, and says hello on another. */
  #move(address: string, where: 'local' | 'tried'): void {
    const left = this.#channel;
    if (left.isAnswered) left.send({ t: 'leave' });
    const leaving = left.close();
    leaving.catch(() => {}); // close() reports the error
    this.#leaving.push(leaving);
    clearInterval(this.#helloTimer);
    this.#where = where;
    clearTimeout(this.#warnTimer);
    this.#warnTimer = this.#warnLater();
    this.#channel = this.#open(address);
  }

  #warnLater(): NodeJS.Timeout {
    const { address, logger } = this.#options;
    return setTimeout(() => logger.warn({ address }, unanswered(address)), WARN_AFTER_MS);
  }

  #stopHello(): void {
    clearInterval(this.#helloTimer);
    clearTimeout(this.#warnTimer);
  }

  #receive(channel: ServerChannel, frames: readonly Uint8Array[]): void {
    if (this.#over || channel !== this.#channel) return;
    channel.isAnswered = true;
    this.#stopHello();
    this.#silence.heard();
    try {
      const received = channel.read(frames);
      if (received !== undefined) this.#take(received);
    } catch (error) {
      const single = readSingle(frames, parseServerMessage, MEMBER_LIMITS);
      if (single?.t === 'fenced') {
        this.#fenced(single.server);
        return;
      }
      const why = error instanceof Error ? error.message : String(error);
      this.#lost(new RankLostError(0, `The connection of rank ${this.#options.rank} to the store broke: ${why}`));
    }
  }

  #take(received: Received<ServerMessage>): void {
    const { message } = received;
    switch (message.t) {
      case 'ping':
        this.send({ t: 'pong' });
        break;
      case 'challenge':
        this.#answer(message);
        break;
      case 'held':
        this.#beatEvery(message.heartbeatMs);
        break;
      case 'welcome':
        this.#welcomed = message;
        this.#beatEvery(message.heartbeatMs);
        this.#resolve(message);
        break;
      case 'refused':
        this.#lost(CheckpointEngineError.fromJSON(message.error));
        break;
      case 'fenced':
        this.#fenced(message.server);
        break;
      case 'bye':
        this.send({ t: 'leave' });
        this.#lost(new RankLostError(0, 'Rank 0 left: it closed the store server'));
        break;
      default:
        this.#options.onMessage(received);
    }
  }

  #answer({ nonce, local }: Extract<ServerMessage, { t: 'challenge' }>): void {
    const { address, keys, rank, worldSize } = this.#options;
    if (keys === undefined) {
      this.#lost(unreachable(address, 'requires a token'));
      return;
    }
    if (local !== undefined && this.#where === 'remote' && isSameMachine(local)) {
      this.#move(`ipc://${local.path}`, 'local');
      return;
    }
    this.send({ t: 'proof', mac: prove(keys, { nonce, identity: this.#channel.identity, rank, worldSize }) });
  }

  #beatEvery(heartbeatMs: number): void {
    clearInterval(this.#beatTimer);
    this.#channel.beat();
    this.#beatTimer = setInterval(() => this.#beat(), Math.max(heartbeatMs, MIN_HEARTBEAT_MS));
  }

  #beat(): void {
    if (this.#welcomed !== undefined && this.#silence.beat(this.#welcomed)) {
      const { lostAfterMs } = this.#welcomed;
      this.#lost(new RankLostError(0, `The store server of rank 0 has been silent for ${lostAfterMs} ms`));
      return;
    }
    this.#channel.beat();
  }

  #fenced(server: string): void {
    const { rank, address } = this.#options;
    if (this.#welcomed === undefined) {
      this.#lost(unreachable(address, 'was restarted'));
      return;
    }
    if (server !== this.#welcomed.server) {
      this.#lost(new RankLostError(0, 'The store server was restarted'));
      return;
    }
    const what = `Rank ${rank} was silent for ${this.#welcomed.lostAfterMs} ms or more, and the world continued without it`;
    this.#lost(new RankLostError(rank, what));
  }

  #lost(error: CheckpointEngineError): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopHello();
    clearInterval(this.#beatTimer);
    this.#reject(error);
    if (this.#welcomed !== undefined) this.#options.onLost(error);
  }
}

/** The error of a server that does not admit a rank. A rank with no token or a wrong token gets no reply at all. */
export function unreachable(address: string, what: string): CheckpointEngineError {
  const hint = `Check that rank 0 runs, that MASTER_ADDR and MASTER_PORT name it on every rank, and that every rank has the same token, or none`;
  return new CheckpointEngineError('CE_STORE_UNREACHABLE', `The store at ${address} ${what}`, hint, {
    peer: address,
    retryable: true,
  });
}

const unanswered = (address: string): string =>
  `The store at ${address} does not answer: rank 0 may not run yet, or address, port or token differ`;
