/**
 * Default time between the closing of two refused connections. Each costs its listener up to half a millisecond when
 * it reconnects, so peers that reconnect without a pause take less than a tenth of the listener's time.
 */
const CLOSE_EVERY_MS = 5;
/** Number of refused connections that are closed at once after a quiet time. */
const BURST = 20;
/** Time for a refused connection to read the reason. */
const FLUSH_MS = 500;
/** Number of pieces of a hello after which its sender is read less often. */
const FREE_PIECES = 8;
const REST_MS = 100;
/** Refusals within this time share one line of the log. */
const LOG_EVERY_MS = 10_000;

/** The required part of a connection; `net.Socket` has it. */
export interface PendingSocket {
  /** Stops reading. */
  pause(): unknown;
  /** Resumes reading. */
  resume(): unknown;
  /** Closes immediately. */
  destroy(): unknown;
  /** Closes after the written data is sent. */
  destroySoon(): unknown;
  /** Calls the listener when the connection is closed. */
  once(event: 'close', listener: () => void): unknown;
}

/** Options of {@link PendingConnections}. */
export interface PendingConnectionsOptions {
  /** Maximum number of unauthenticated connections; one more closes the connection with the least progress. */
  readonly maxCount: number;
  /** Time limit for a connection to authenticate. */
  readonly timeoutMs: number;
  /** Time between the closing of two refused connections, for listeners where a connection costs more. @default 5 */
  readonly closeEveryMs?: number | undefined;
  /** Receives the first refusal, and then at most every ten seconds the number of refusals since. */
  readonly onRefused?: ((why: string, count: number) => void) | undefined;
}

/** A connection that is not authenticated. */
export interface PendingConnection {
  /** Whether it was refused, or is gone: the owner must not read from it any more. */
  readonly isClosed: boolean;
  /**
   * Records progress: if there are too many connections, those with the most progress are closed last.
   *
   * @param timeoutMs Time limit from now on.
   * @default the remaining time
   */
  advance(timeoutMs?: number): void;
  /**
   * Records that an incomplete piece was read. A connection that continues like this is read at most ten times per
   * second, so a peer that sends single bytes costs no more time than one that sends everything together.
   */
  throttle(): void;
  /** Marks the connection as authenticated, so that it does not count any more. */
  accept(): void;
  /**
   * Stops reading and closes the connection: immediately, unless the number of refusals would cost too much time.
   * Idempotent.
   */
  refuse(why: string): void;
}

/**
 * The unauthenticated connections of a listener, with a limit on their number and on the time of each. Regardless of
 * what they send, they use a bounded number of descriptors and little time: if many are refused, they stay open and
 * unread for a while, so that they cannot reconnect immediately.
 */
export class PendingConnections {
  readonly #options: PendingConnectionsOptions;
  readonly #pending = new Set<TrackedConnection>();
  #refusals = 0;
  #nextCloseAt = Number.NEGATIVE_INFINITY;
  #loggedAt = Number.NEGATIVE_INFINITY;

  /** Creates the set for a listener without connections. */
  constructor(options: PendingConnectionsOptions) {
    this.#options = options;
  }

  /** Number of unauthenticated connections, including refused ones that are still open. */
  get size(): number {
    return this.#pending.size;
  }

  /** Adds a new connection. */
  admit(socket: PendingSocket): PendingConnection {
    const candidate = new TrackedConnection(socket, {
      timeoutMs: this.#options.timeoutMs,
      onRefused: (why) => {
        this.#log(why);
        return this.#closeInMs();
      },
      onClosed: () => this.#pending.delete(candidate),
    });
    this.#pending.add(candidate);
    if (this.#pending.size > this.#options.maxCount) this.#leastAdvanced()?.closeNow();
    return candidate;
  }

  /** Closes all of them immediately. */
  close(): void {
    for (const candidate of [...this.#pending]) candidate.closeNow();
  }

  /** Returns the oldest of the connections with the least progress. */
  #leastAdvanced(): TrackedConnection | undefined {
    let least: TrackedConnection | undefined;
    for (const candidate of this.#pending) if (least === undefined || candidate.steps < least.steps) least = candidate;
    return least;
  }

  /** Returns the time from now at which the next refused connection may be closed. */
  #closeInMs(): number {
    const now = performance.now();
    const { closeEveryMs = CLOSE_EVERY_MS, maxCount } = this.#options;
    // Those that left by themselves do not make others wait longer than all that can be open.
    const closeAt = Math.min(
      Math.max(this.#nextCloseAt, now - (BURST - 1) * closeEveryMs),
      now + maxCount * closeEveryMs,
    );
    this.#nextCloseAt = closeAt + closeEveryMs;
    return Math.max(0, closeAt - now);
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
  /** Notifies the connection that it may be closed. */
  onRefused(why: string): number;
  onClosed(): void;
}

class TrackedConnection implements PendingConnection {
  /** Its progress; -1 if it was refused. */
  steps = 0;
  readonly #socket: PendingSocket;
  readonly #events: Events;
  #timer: ReturnType<typeof setTimeout>;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #pieces = 0;
  #isOver = false;
  readonly #onTimeout = (): void => {
    this.refuse('it did not authenticate in time');
    this.closeNow();
  };

  constructor(socket: PendingSocket, events: Events) {
    this.#socket = socket;
    this.#events = events;
    this.#timer = setTimeout(this.#onTimeout, events.timeoutMs);
    socket.once('close', () => this.#end());
  }

  get isClosed(): boolean {
    return this.steps < 0;
  }

  advance(timeoutMs?: number): void {
    if (this.isClosed || this.#isOver) return;
    this.steps += 1;
    if (timeoutMs === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onTimeout, timeoutMs);
  }

  throttle(): void {
    this.#pieces += 1;
    if (this.isClosed || this.#isOver || this.#pieces <= FREE_PIECES) return;
    this.#socket.pause();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#socket.resume(), REST_MS);
  }

  accept(): void {
    if (this.isClosed) return;
    if (this.#rest !== undefined) this.#socket.resume();
    this.#end();
  }

  refuse(why: string): void {
    if (this.isClosed) return;
    if (this.#isOver) {
      this.closeNow();
      return;
    }
    this.steps = -1;
    clearTimeout(this.#rest);
    this.#socket.pause();
    clearTimeout(this.#timer);
    const closeInMs = this.#events.onRefused(why);
    this.#timer = setTimeout(() => this.closeNow(), Math.max(closeInMs, FLUSH_MS));
    if (closeInMs === 0) this.#socket.destroySoon();
  }

  closeNow(): void {
    this.steps = -1;
    this.#socket.destroy();
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#rest);
    this.#events.onClosed();
  }
}
