import type { Logger } from '@checkpoint-engine/interface';
import type { LogSink } from '../output/log.ts';
import type { Terminal } from '../output/terminal.ts';
import { LiveProgress } from './live-progress.ts';
import { LoggedProgress } from './logged-progress.ts';
import type { ProgressView } from './progress-view.ts';

/** What {@link openProgress} takes. */
export interface OpenProgressOptions {
  readonly title: string;
  /** Ranks whose events are seen. */
  readonly rankCount: number;
  /** Redraw in place, where standard error is a terminal. */
  readonly live: boolean;
  readonly terminal: Terminal;
  readonly sink: LogSink;
  readonly logger: Logger;
}

/** Live bars on a terminal, log lines elsewhere. */
export function openProgress({ title, rankCount, live, terminal, sink, logger }: OpenProgressOptions): ProgressView {
  return live && terminal.err.isTTY
    ? new LiveProgress(title, rankCount, terminal, sink)
    : new LoggedProgress(title, rankCount, logger);
}
