import { randomUUID } from 'node:crypto';
import { CheckpointEngineError, type Logger, RankLostError } from '@checkpoint-engine/interface';
import type { Link } from './client-world.ts';
import { CurveDealer } from './curve-dealer.ts';
import type { StoreDealer } from './dealer.ts';
import { MEMBER_LIMITS, MessageReader, MessageWriter, type Received, readSingle } from './framing.ts';
import { OpenDealer } from './open-dealer.ts';
import { Outbox } from './outbox.ts';
import { parseServerMessage } from './parse-message.ts';
import { toPayload } from './payload.ts';
import { type ClientMessage, type Hello, PROTOCOL, type ServerMessage, type WelcomeMessage } from './protocol.ts';
import { Silence } from './pulse.ts';
import { prove, type TokenKeys } from './token-keys.ts';

const HELLO_EVERY_MS = 1_000;
/** How long a closing link continues to send. */
const FLUSH_MS = 1_000;
/** Upper bound for the rate of heartbeats, whatever the server asks for. */
const MIN_HEARTBEAT_MS = 5;
/** After this time without an answer, the log names possible reasons. */
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

/** One rank's connection to the store server: hello, proof, heartbeats, then messages in both directions. */
export class ServerLink implements Link {
  /** Settles when the server has admitted or rejected this rank; never if no server answers. */
  readonly welcome: Promise<WelcomeMessage>;
  readonly #options: ServerLinkOptions;
  readonly #identity: string = randomUUID();
  readonly #dealer: StoreDealer;
  readonly #outbox: Outbox<Uint8Array[]>;
  readonly #writer = new MessageWriter();
  readonly #reader = new MessageReader<ServerMessage>(parseServerMessage);
  readonly #silence = new Silence();
  readonly #helloTimer: NodeJS.Timeout;
  readonly #warnTimer: NodeJS.Timeout;
  #beatTimer: NodeJS.Timeout | undefined;
  #welcomed: WelcomeMessage | undefined;
  #closing: Promise<void> | undefined;
  #answered = false;
  #over = false;
  #resolve: (welcome: WelcomeMessage) => void = () => {};
  #reject: (error: CheckpointEngineError) => void = () => {};

  constructor(options: ServerLinkOptions) {
    this.#options = options;
    const { address, keys, logger } = options;
    this.welcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.welcome.catch(() => {});
    this.#reader.limits = MEMBER_LIMITS;
    const take = (frames: Uint8Array[]): void => this.#receive(frames);
    const identity = this.#identity;
    this.#dealer =
      keys === undefined
        ? new OpenDealer({ address, identity, take, onReady: () => this.#hello() })
        : new CurveDealer({ address, identity, take, serverKey: keys.serverPublicKey });
    this.#outbox = new Outbox((frames) => this.#dealer.send(frames));
    this.#helloTimer = setInterval(() => this.#hello(), HELLO_EVERY_MS);
    this.#warnTimer = setTimeout(() => logger.warn({ address }, unanswered(address)), WARN_AFTER_MS);
    this.#hello();
  }

  send(message: ClientMessage, values: readonly Uint8Array[] = []): void {
    this.#outbox.push(this.#writer.write(message, toPayload(values)));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // A server that has not decided yet learns that this rank has left; one that never answered does not.
    if (this.#answered && this.#welcomed === undefined && !this.#over) this.send({ t: 'leave' });
    this.#over = true;
    this.#stopHello();
    clearInterval(this.#beatTimer);
    if (this.#answered) await this.#outbox.flush(FLUSH_MS);
    await this.#dealer.close(this.#answered ? undefined : 0);
  }

  #hello(): void {
    const { rank, worldSize } = this.#options;
    if (this.#answered || this.#over || !this.#dealer.reach()) return;
    this.#outbox.push(new MessageWriter().write({ t: 'hello', protocol: PROTOCOL, rank, worldSize } satisfies Hello));
  }

  #stopHello(): void {
    clearInterval(this.#helloTimer);
    clearTimeout(this.#warnTimer);
  }

  #receive(frames: readonly Uint8Array[]): void {
    if (this.#over) return;
    this.#answered = true;
    this.#stopHello();
    this.#silence.heard();
    try {
      const received = this.#reader.read(frames);
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
        this.#answer(message.nonce);
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

  #answer(nonce: Uint8Array): void {
    const { keys, rank, worldSize } = this.#options;
    if (keys === undefined) {
      this.#lost(unreachable(this.#options.address, 'requires a token'));
      return;
    }
    this.send({ t: 'proof', mac: prove(keys, { nonce, identity: this.#identity, rank, worldSize }) });
  }

  #beatEvery(heartbeatMs: number): void {
    clearInterval(this.#beatTimer);
    this.#outbox.push(this.#writer.beat(), true);
    this.#beatTimer = setInterval(() => this.#beat(), Math.max(heartbeatMs, MIN_HEARTBEAT_MS));
  }

  #beat(): void {
    if (this.#welcomed !== undefined && this.#silence.beat(this.#welcomed)) {
      const { lostAfterMs } = this.#welcomed;
      this.#lost(new RankLostError(0, `The store server of rank 0 has been silent for ${lostAfterMs} ms`));
      return;
    }
    this.#outbox.push(this.#writer.beat(), true);
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
