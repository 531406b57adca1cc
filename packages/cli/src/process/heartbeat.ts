/** How often a process is asked whether it answers. */
const BEAT_MS = 1_000;
/** Beats without a word after which a process counts as unresponsive: 5 s. */
const UNRESPONSIVE_BEATS = 5;
/** Beats without a word after which a process counts as frozen: 20 s. */
export const FROZEN_BEATS = 20;

/** What a {@link Heartbeat} calls. */
export interface HeartbeatOptions {
  /** Asks the process to say something. */
  readonly ask: () => void;
  /** The process has become unresponsive, or answers again. */
  readonly onChange: (isAnswering: boolean) => void;
  /** The process is frozen. Called once, and nothing after it. */
  readonly onFrozen: () => void;
}

/**
 * Watches whether a process answers. Silence is counted in beats of this process: while its own event loop stands still,
 * no time passes for the other.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #timer: NodeJS.Timeout;
  #silentBeats = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
  }

  /** The process has said something. */
  heard(): void {
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
