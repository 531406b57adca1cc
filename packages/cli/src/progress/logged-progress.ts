import type { Logger } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { formatDuration, formatRate } from '../output/format.ts';
import { PHASE_TEXT } from './phase-text.ts';
import { type ProgressState, reduceProgress, startProgress, type WorldPhase, worldPhase } from './progress-state.ts';
import type { ProgressView } from './progress-view.ts';
import { stageViews } from './stage-views.ts';

const EVERY_MS = 5_000;
/** Phases that are logged at once. The others are usually short; a long one is logged later. */
const LOGGED_AT_ONCE: ReadonlySet<WorldPhase> = new Set(['register', 'handshake', 'stream', 'done']);

/** Logs a line when a phase begins, and then every few seconds. */
export class LoggedProgress implements ProgressView {
  readonly #logger: Logger;
  readonly #title: string;
  #state: ProgressState;
  #phase: WorldPhase | undefined;
  #loggedAtMs = performance.now();

  constructor(title: string, rankCount: number, logger: Logger) {
    this.#title = title;
    this.#logger = logger;
    this.#state = startProgress(rankCount);
  }

  onEvent(event: ProgressEvent): void {
    this.#state = reduceProgress(this.#state, event);
    const phase = worldPhase(this.#state);
    const nowMs = performance.now();
    if (phase === this.#phase && nowMs - this.#loggedAtMs < EVERY_MS) return;
    const isNew = phase !== this.#phase;
    this.#phase = phase;
    if (isNew && !LOGGED_AT_ONCE.has(phase)) return;
    this.#loggedAtMs = nowMs;
    this.#logger.info({ phase }, `${this.#title}: ${PHASE_TEXT[phase]}${isNew ? '' : this.#figures()}`);
  }

  close(): void {}

  /** The progress of the last stage that data has reached. */
  #figures(): string {
    const view = stageViews(this.#state).at(-1);
    if (!view || view.doneBytes === 0) return '';
    const { stage, doneBytes, totalBytes, rateGBps, leftMs } = view;
    const rate = rateGBps === undefined ? '' : `, ${formatRate(rateGBps * 1e6, 1)}`;
    const left = leftMs ? `, ${formatDuration(leftMs)} left` : '';
    return ` (${stage} ${formatBytes(Math.round(doneBytes))} of ${formatBytes(totalBytes)}${rate}${left})`;
  }
}
