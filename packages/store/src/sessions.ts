import { randomBytes } from 'node:crypto';
import { CheckpointEngineError, type Logger, RankLostError } from '@checkpoint-engine/interface';
import { FramingError, isFramed, MessageWriter, type Received, readSingle } from './framing.ts';
import type { LocalSocket } from './front/local-socket.ts';
import { parseHello } from './parse-message.ts';
import type { ClientMessage, Hello } from './protocol.ts';
import type { Heartbeat } from './pulse.ts';
import { duplicateRank, helloRefusal, Session } from './session.ts';
import { proofHolds, type TokenKeys } from './token-keys.ts';
import type { World } from './world.ts';

/** The options of {@link Sessions}. */
export interface SessionsOptions {
  readonly world: World;
  readonly server: string;
  readonly keys: TokenKeys | undefined;
  /** Announced to clients that know the server's key. */
  readonly localSocket: LocalSocket | undefined;
  readonly heartbeat: Heartbeat;
  readonly logger: Logger;
  /** Queues wire messages for a client. */
  readonly push: (identity: string, messages: Iterable<Uint8Array[]>, urgent?: boolean) => void;
  /** Called when a client has joined, and when it has left the world. */
  readonly setJoined: (identity: string, hasJoined: boolean) => void;
}

/** A live client beats as often as the server: after this many silent beats it will not say goodbye. */
const LAST_BEATS = 3;

/** Clients before and after they join: hello, proof of the token, heartbeats, duplicates, loss. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #joined = new Map<number, Session>();
  readonly #nonces = new Map<Session, { nonce: Uint8Array; hello: Hello }>();

  /** Set once the server closes: no client is admitted any more. */
  #onEmpty: (() => void) | undefined;

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** Handles one wire message of a client. */
  receive(identity: string, frames: readonly Uint8Array[]): void {
    const session = this.#sessions.get(identity);
    if (session === undefined || session.fresh) {
      // A client repeats its hello until it is answered; hellos are outside the numbering of its messages.
      const hello = readSingle(frames, parseHello);
      if (hello !== undefined) {
        if (session === undefined && this.#onEmpty === undefined) this.#hello(identity, hello);
        else session?.silence.heard();
        return;
      }
    }
    if (session === undefined) {
      // A client of another server, or one that was dropped. A client with another protocol gets no answer.
      if (isFramed(frames)) this.#fence(identity);
      return;
    }
    session.silence.heard();
    try {
      if (session.state === 'joined') this.#say(session, session.read(frames));
      else this.#sayBeforeJoining(session, session.read(frames));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.logger.warn({ rank: session.rank, reason }, 'A session of the store broke');
      this.#drop(session, `The connection of rank ${session.rank} broke: ${reason}`);
    }
  }

  /** One beat: sends a heartbeat to all clients, and drops those that have been silent for too long. */
  beat(): void {
    const { heartbeat } = this.#options;
    for (const session of [...this.#sessions.values()]) {
      const isLost = session.silence.beat(heartbeat);
      if (isLost || (this.#onEmpty !== undefined && session.silence.beats >= LAST_BEATS)) {
        this.#drop(session, `Rank ${session.rank} has been silent for ${heartbeat.lostAfterMs} ms`);
      } else session.beat();
    }
  }

  /** Drops a rank whose end is known, before it has been silent for long enough. */
  lose(rank: number, what: string): void {
    const session = this.#joined.get(rank);
    if (session) this.#drop(session, what);
  }

  /**
   * Tells all clients that the server closes. Resolves when all have left, and so have received their last messages.
   * Does not wait for clients that have been silent for three beats. Takes at most `limitMs`.
   */
  close(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
      for (const session of this.#sessions.values()) session.send({ t: 'bye' });
      if (this.#sessions.size === 0) this.#onEmpty();
    });
  }

  /** Tells a client that its session was dropped, or belongs to another server. */
  #fence(identity: string): void {
    this.#options.push(identity, new MessageWriter().write({ t: 'fenced', server: this.#options.server }));
  }

  #sayBeforeJoining(session: Session, received: Received<ClientMessage> | undefined): void {
    if (received === undefined) return;
    const { message } = received;
    if (message.t === 'proof' && session.state === 'challenged') this.#proof(session, message.mac);
    else if (message.t === 'leave') this.#forget(session);
    else throw new FramingError(`Unexpected message "${message.t}"`);
  }

  #say(session: Session, received: Received<ClientMessage> | undefined): void {
    if (received === undefined) return;
    const { message, values } = received;
    switch (message.t) {
      case 'pong':
        this.#refuseChallenger(session);
        break;
      case 'leave':
        this.#drop(session, `Rank ${session.rank} left: it closed its store`, 'left');
        break;
      default:
        this.#options.world.handle(session.rank, message, values);
    }
  }

  #hello(identity: string, hello: Hello): void {
    const session = new Session(identity, (messages, urgent) => this.#options.push(identity, messages, urgent));
    this.#sessions.set(identity, session);
    const refusal = helloRefusal(hello, this.#options.world.worldSize);
    if (refusal !== undefined) {
      this.#refuse(session, refusal);
      return;
    }
    session.rank = hello.rank;
    if (this.#options.keys === undefined) {
      this.#admit(session);
      return;
    }
    const nonce = randomBytes(32);
    this.#nonces.set(session, { nonce, hello });
    session.state = 'challenged';
    session.send({ t: 'challenge', nonce, local: this.#options.localSocket });
  }

  #proof(session: Session, mac: Uint8Array): void {
    const { nonce, hello } = this.#nonces.get(session)!;
    this.#nonces.delete(session);
    const { identity } = session;
    if (proofHolds(this.#options.keys!, { nonce, identity, rank: hello.rank, worldSize: hello.worldSize }, mac)) {
      this.#admit(session);
      return;
    }
    const what = `Rank ${session.rank} does not know the token`;
    this.#refuse(session, new CheckpointEngineError('CE_TOKEN_REFUSED', what, 'Set the same token on every rank'));
  }

  /** If the rank has a session already, that session first shows whether it is alive. */
  #admit(session: Session): void {
    const holder = this.#joined.get(session.rank);
    if (holder !== undefined) {
      if (holder.challenger !== undefined) {
        this.#refuse(session, duplicateRank(session.rank));
        return;
      }
      holder.challenger = session;
      session.state = 'held';
      session.send({ t: 'held', heartbeatMs: this.#options.heartbeat.heartbeatMs });
      holder.send({ t: 'ping' });
      return;
    }
    session.state = 'joined';
    this.#options.setJoined(session.identity, true);
    this.#joined.set(session.rank, session);
    this.#options.world.join(session.rank, session);
    this.#options.logger.info({ rank: session.rank }, 'A rank joined the store');
  }

  #refuseChallenger(holder: Session): void {
    if (holder.challenger !== undefined) this.#refuse(holder.challenger, duplicateRank(holder.rank));
    holder.challenger = undefined;
  }

  #refuse(session: Session, error: CheckpointEngineError): void {
    this.#options.logger.warn(
      { rank: session.rank, code: error.code, reason: error.message },
      'The store rejected a rank',
    );
    session.send({ t: 'refused', error: error.toJSON() });
    this.#forget(session);
  }

  #drop(session: Session, what: string, how: 'lost' | 'left' = 'lost'): void {
    this.#forget(session);
    if (session.state !== 'joined') return;
    this.#joined.delete(session.rank);
    if (how === 'lost') session.send({ t: 'fenced', server: this.#options.server });
    const { logger, world } = this.#options;
    logger[how === 'lost' ? 'warn' : 'info']({ rank: session.rank }, what);
    world.leave(session.rank, new RankLostError(session.rank, what, { rank: 0, op: 'store' }));
    if (session.challenger !== undefined) this.#admit(session.challenger);
  }

  #forget(session: Session): void {
    this.#sessions.delete(session.identity);
    this.#options.setJoined(session.identity, false);
    this.#nonces.delete(session);
    if (this.#sessions.size === 0) this.#onEmpty?.();
    const holder = this.#joined.get(session.rank);
    if (holder?.challenger === session) holder.challenger = undefined;
  }
}
