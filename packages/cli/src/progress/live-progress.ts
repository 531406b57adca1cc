import { stderr } from 'node:process';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { createLogUpdate } from 'log-update';
import type { LogSink } from '../output/log.ts';
import type { Colors, Terminal } from '../output/terminal.ts';
import { frameText } from './frame-text.ts';
import { type ProgressState, reduceProgress, startProgress } from './progress-state.ts';
import type { ProgressView } from './progress-view.ts';

const FRAME_MS = 1000 / 15;
const CURSOR = { hide: '\u001b[?25l', show: '\u001b[?25h' };
/** The width of a terminal that does not report its width. */
const USUAL_COLUMNS = 80;

/** A headline and a bar for each stage of the pipeline, redrawn in place. Log lines go above them. */
export class LiveProgress implements ProgressView {
  readonly #startedAtMs = performance.now();
  readonly #title: string;
  readonly #colors: Colors;
  /** It hides no cursor itself, which would install handlers of signals. */
  readonly #frame = createLogUpdate(stderr, { showCursor: true });
  readonly #note: (text: string) => void;
  readonly #restoreLog: () => void;
  readonly #timer: NodeJS.Timeout;
  #state: ProgressState;
  #isClosed = false;

  constructor(title: string, rankCount: number, terminal: Terminal, sink: LogSink) {
    this.#title = title;
    this.#colors = terminal.err.colors;
    this.#note = terminal.note;
    this.#state = startProgress(rankCount);
    this.#restoreLog = sink.redirect((text) => this.#log(text));
    this.#note(CURSOR.hide);
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
  }

  onEvent(event: ProgressEvent): void {
    this.#state = reduceProgress(this.#state, event);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#restoreLog();
    this.#frame.clear();
    this.#note(CURSOR.show);
  }

  #draw(): void {
    const frame = { title: this.#title, state: this.#state, elapsedMs: performance.now() - this.#startedAtMs };
    // After a resize, the terminal reports its new width at the next frame.
    this.#frame(frameText({ ...frame, columns: stderr.columns || USUAL_COLUMNS, colors: this.#colors }));
  }

  #log(text: string): void {
    this.#frame.clear();
    this.#note(text);
    this.#draw();
  }
}
