/** Interval between checks of whether a process answers. */
const BEAT_MS = 1_000;
/** Beats without an answer after which a process counts as unresponsive: 5 s. */
const UNRESPONSIVE_BEATS = 5;
/** Beats without an answer after which a process counts as frozen: 20 s. */
export const FROZEN_BEATS = 20;

/** The callbacks of a {@link Heartbeat}. */
export interface HeartbeatOptions {
  /** Sends the process a ping. */
  readonly ask: () => void;
  /** The process has become unresponsive, or answers again. */
  readonly onChange: (isAnswering: boolean) => void;
  /** The process is frozen. This is the last call, and it comes once. */
  readonly onFrozen: () => void;
}

/**
 * Watches whether a process answers. It counts silence in beats of this process, so that no time passes for the other
 * process while this event loop is blocked.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #timer: NodeJS.Timeout;
  #silentBeats = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
  }

  /** Call it for each sign of life. */
  noteMessage(): void {
    const wasUnresponsive = this.#silentBeats >= UNRESPONSIVE_BEATS;
    this.#silentBeats = 0;
    if (wasUnresponsive) this.#options.onChange(true);
  }

  /** Idempotent. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const { ask, onChange, onFrozen } = this.#options;
    this.#silentBeats += 1;
    if (this.#silentBeats === UNRESPONSIVE_BEATS) onChange(false);
    if (this.#silentBeats >= FROZEN_BEATS) {
      this.stop();
      onFrozen();
      return;
    }
    ask();
  }
}
