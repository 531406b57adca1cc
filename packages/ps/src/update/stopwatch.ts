import type { UpdateResult } from '../api.ts';
import type { ProgressEvent, UpdatePhase } from '../progress-event.ts';

/** Measures phases and reports them to the listener. */
export class Stopwatch {
  readonly #rank: number;
  readonly #emit: (event: ProgressEvent) => void;
  readonly #startedAtMs = performance.now();
  readonly #durationsMs: Record<keyof UpdateResult['durationsMs'], number> = {
    plan: 0,
    handshake: 0,
    stream: 0,
    release: 0,
    hook: 0,
    total: 0,
    engine: 0,
  };
  #phase: UpdatePhase | undefined;
  #phaseStartedAtMs = 0;

  constructor(rank: number, emit: (event: ProgressEvent) => void) {
    this.#rank = rank;
    this.#emit = emit;
  }

  /** Ends the current phase and starts another. */
  enter(phase: UpdatePhase): void {
    const atMs = performance.now();
    if (this.#phase !== undefined && this.#phase !== 'done') {
      this.#durationsMs[this.#phase] += atMs - this.#phaseStartedAtMs;
    }
    this.#phase = phase;
    this.#phaseStartedAtMs = atMs;
    this.#durationsMs.total = atMs - this.#startedAtMs;
    this.#emit({ type: 'phase', phase, rank: this.#rank, atMs: performance.timeOrigin + atMs });
  }

  /** Adds time during which the engine did nothing but receive the update. */
  addEnginePause(durationMs: number): void {
    this.#durationsMs.engine += durationMs;
  }

  /** Milliseconds of each phase that has ended. */
  get durationsMs(): UpdateResult['durationsMs'] {
    return this.#durationsMs;
  }
}
