/** Refused connections that are closed at once within a second; each costs its listener a tenth of a millisecond. */
const CLOSED_A_SECOND = 500;
const SECOND_MS = 1_000;
/** How long a refused connection may take to read why. */
const FLUSH_MS = 500;
/** Pieces in which a hello may come before its sender is read less often. */
const FREE_PIECES = 8;
const REST_MS = 100;
/** Refusals within this time are one line of the log. */
const LOG_EVERY_MS = 10_000;

/** What is used of a connection; `net.Socket` is one. */
export interface StrangerSocket {
  /** Reads nothing more. */
  pause(): unknown;
  /** Reads again. */
  resume(): unknown;
  /** Closes at once. */
  destroy(): unknown;
  /** Closes once what was written is out. */
  destroySoon(): unknown;
  /** Calls the listener when it is closed. */
  once(event: 'close', listener: () => void): unknown;
}

/** Options of {@link Strangers}. */
export interface StrangersOptions {
  /** Connections that have not proved who they are; with one more, the one that got least far is closed. */
  readonly most: number;
  /** How long a connection may take to prove who it is. */
  readonly timeoutMs: number;
  /** Told of the first refusal, and then every ten seconds at most of how many there were since. */
  readonly onRefused?: ((why: string, count: number) => void) | undefined;
}

/** A connection that has not proved who it is. */
export interface Stranger {
  /** Whether it was refused, or is gone: nothing of what it sends is to be read any more. */
  readonly isOut: boolean;
  /**
   * It got further: those that did are closed last where there are too many.
   *
   * @param timeoutMs How long it may take from now on. @default What is left
   */
  advance(timeoutMs?: number): void;
  /**
   * Something of it was read, and it is not enough yet. One that goes on so is read ten times a second at most: who sends
   * byte by byte costs no more time than who sends all at once.
   */
  dribble(): void;
  /** It has proved who it is: it does not count any more. */
  welcome(): void;
  /** It is not read any more, and closed: at once, unless there are so many that this alone would cost time. Idempotent. */
  refuse(why: string): void;
}

/**
 * The connections of a listener that have not proved who they are: how many there may be, and how long each may take.
 * Whatever they send or do not send costs a bounded number of descriptors, and little time: where many are refused, they
 * are left unread and open for a while, so that they cannot come back at once.
 */
export class Strangers {
  readonly #options: StrangersOptions;
  readonly #strangers = new Set<OneStranger>();
  #refusals = 0;
  #secondBeganAt = Number.NEGATIVE_INFINITY;
  #closedInSecond = 0;
  #loggedAt = Number.NEGATIVE_INFINITY;

  /** Of a listener that has no connection yet. */
  constructor(options: StrangersOptions) {
    this.#options = options;
  }

  /** Connections that have not proved who they are, those that were refused and are still open included. */
  get size(): number {
    return this.#strangers.size;
  }

  /** Counts a new connection. */
  admit(socket: StrangerSocket): Stranger {
    const stranger = new OneStranger(socket, {
      timeoutMs: this.#options.timeoutMs,
      onRefused: (why) => {
        this.#log(why);
        return this.#closeInMs();
      },
      onGone: () => this.#strangers.delete(stranger),
    });
    this.#strangers.add(stranger);
    if (this.#strangers.size > this.#options.most) this.#leastFar()?.hangUp();
    return stranger;
  }

  /** Closes all of them at once. */
  close(): void {
    for (const stranger of [...this.#strangers]) stranger.hangUp();
  }

  /** The one that got least far, the oldest of those. */
  #leastFar(): OneStranger | undefined {
    let least: OneStranger | undefined;
    for (const stranger of this.#strangers) if (least === undefined || stranger.steps < least.steps) least = stranger;
    return least;
  }

  /** When the next refused connection may be closed. */
  #closeInMs(): number {
    const now = performance.now();
    if (now - this.#secondBeganAt >= SECOND_MS) {
      this.#secondBeganAt = now;
      this.#closedInSecond = 0;
    }
    const seconds = Math.floor(this.#closedInSecond / CLOSED_A_SECOND);
    this.#closedInSecond += 1;
    return seconds === 0 ? 0 : this.#secondBeganAt + seconds * SECOND_MS - now;
  }

  #log(why: string): void {
    this.#refusals += 1;
    const now = performance.now();
    if (now - this.#loggedAt < LOG_EVERY_MS) return;
    this.#loggedAt = now;
    this.#options.onRefused?.(why, this.#refusals);
    this.#refusals = 0;
  }
}

interface Events {
  readonly timeoutMs: number;
  /** Tells when it may be closed. */
  onRefused(why: string): number;
  onGone(): void;
}

class OneStranger implements Stranger {
  /** How far it got; -1 when it was refused. */
  steps = 0;
  readonly #socket: StrangerSocket;
  readonly #events: Events;
  #timer: ReturnType<typeof setTimeout>;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #pieces = 0;
  #isOver = false;
  readonly #onTimeout = (): void => {
    this.refuse('it did not say in time who it is');
    this.hangUp();
  };

  constructor(socket: StrangerSocket, events: Events) {
    this.#socket = socket;
    this.#events = events;
    this.#timer = setTimeout(this.#onTimeout, events.timeoutMs);
    socket.once('close', () => this.#end());
  }

  get isOut(): boolean {
    return this.steps < 0;
  }

  advance(timeoutMs?: number): void {
    if (this.isOut || this.#isOver) return;
    this.steps += 1;
    if (timeoutMs === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onTimeout, timeoutMs);
  }

  dribble(): void {
    this.#pieces += 1;
    if (this.isOut || this.#isOver || this.#pieces <= FREE_PIECES) return;
    this.#socket.pause();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#socket.resume(), REST_MS);
  }

  welcome(): void {
    if (this.isOut) return;
    if (this.#rest !== undefined) this.#socket.resume();
    this.#end();
  }

  refuse(why: string): void {
    if (this.isOut) return;
    if (this.#isOver) {
      this.hangUp();
      return;
    }
    this.steps = -1;
    clearTimeout(this.#rest);
    this.#socket.pause();
    clearTimeout(this.#timer);
    const closeInMs = this.#events.onRefused(why);
    this.#timer = setTimeout(() => this.hangUp(), Math.max(closeInMs, FLUSH_MS));
    if (closeInMs === 0) this.#socket.destroySoon();
  }

  hangUp(): void {
    this.steps = -1;
    this.#socket.destroy();
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#rest);
    this.#events.onGone();
  }
}
