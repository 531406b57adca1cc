import { stderr } from 'node:process';
import { formatBytes } from '@checkpoint-engine/planner';
import type { ProgressEvent, Stage } from '@checkpoint-engine/ps';
import cliProgress, { type GenericFormatter, type MultiBar, type SingleBar } from 'cli-progress';
import { formatDuration, formatRate } from '../output/format.ts';
import type { LogSink } from '../output/log.ts';
import type { Colors, Terminal } from '../output/terminal.ts';
import { PHASE_TEXT } from './phase-text.ts';
import { type ProgressState, reduceProgress, startProgress, worldPhase } from './progress-state.ts';
import type { ProgressView } from './progress-view.ts';
import { type StageView, stageViews } from './stage-views.ts';

const FRAMES_PER_SECOND = 15;
const ERASE_TO_LINE_END = '\u001b[K';
/** Bars are cut at the right edge, but log lines are not. */
const WRAP = { on: '\u001b[?7h', off: '\u001b[?7l' };

/** Shows a headline and one bar per stage, redrawn in place. Log lines go above them. */
export class LiveProgress implements ProgressView {
  readonly #startedAtMs = performance.now();
  readonly #colors: Colors;
  readonly #bars: MultiBar;
  readonly #headline: SingleBar;
  readonly #barOf = new Map<Stage, SingleBar>();
  readonly #restoreLog: () => void;
  readonly #timer: NodeJS.Timeout;
  #state: ProgressState;
  #isClosed = false;

  constructor(title: string, rankCount: number, terminal: Terminal, sink: LogSink) {
    this.#colors = terminal.err.colors;
    this.#state = startProgress(rankCount);
    this.#bars = new cliProgress.MultiBar({
      barCompleteChar: '━',
      barIncompleteChar: '─',
      barsize: 24,
      fps: FRAMES_PER_SECOND,
      stream: stderr,
      hideCursor: true,
      clearOnComplete: true,
      forceRedraw: true,
      gracefulExit: false,
      linewrap: false,
    });
    const headline: GenericFormatter = () => this.#headlineText(title);
    this.#headline = this.#bars.create(1, 0, {}, { format: headline });
    // Lines that move down erase the screen below the cursor.
    this.#restoreLog = sink.redirect((text) => {
      this.#bars.log(`${WRAP.on}${text.replaceAll('\n', `${ERASE_TO_LINE_END}\n`)}${WRAP.off}`);
    });
    this.#timer = setInterval(() => this.#refresh(), 1000 / FRAMES_PER_SECOND);
  }

  onEvent(event: ProgressEvent): void {
    this.#state = reduceProgress(this.#state, event);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#restoreLog();
    // Prints log lines that still wait.
    this.#bars.update();
    this.#headline.stop();
    this.#bars.stop();
  }

  #refresh(): void {
    for (const view of stageViews(this.#state)) {
      const totalBytes = Math.max(view.totalBytes, 1);
      const bar = this.#barOf.get(view.stage) ?? this.#bars.create(totalBytes, 0, { view }, { format: this.#barText });
      this.#barOf.set(view.stage, bar);
      // Totals grow while ranks begin.
      bar.setTotal(totalBytes);
      bar.update(view.doneBytes, { view });
    }
  }

  #headlineText(title: string): string {
    const elapsed = formatDuration(performance.now() - this.#startedAtMs);
    return `${this.#colors.bold(title)} ${this.#colors.dim('·')} ${PHASE_TEXT[worldPhase(this.#state)]} ${this.#colors.dim(`· ${elapsed}`)}`;
  }

  readonly #barText: GenericFormatter = (options, { progress }, { view }: { view: StageView }) => {
    const { dim, cyan } = this.#colors;
    const sizes = `${formatBytes(Math.round(view.doneBytes))} / ${formatBytes(view.totalBytes)}`;
    const rate = view.rateGBps === undefined ? '' : formatRate(view.rateGBps * 1e6, 1);
    const left = view.leftMs && progress < 1 ? dim(`${formatDuration(view.leftMs)} left`) : '';
    const bar = cyan(cliProgress.Format.BarFormat(progress, options));
    const percent = `${Math.floor(progress * 100)}%`.padStart(4);
    return `  ${view.stage.padEnd(9)} ${bar} ${percent}  ${sizes.padEnd(23)} ${rate.padEnd(10)} ${left}`;
  };
}
