import type { Logger } from '@checkpoint-engine/interface';
import type { LogSink } from '../output/log.ts';
import type { Terminal } from '../output/terminal.ts';
import { LoggedProgress } from './logged-progress.ts';
import type { ProgressView } from './progress-view.ts';

/** The options of {@link openProgress}. */
export interface OpenProgressOptions {
  readonly title: string;
  /** Ranks whose events arrive here. */
  readonly rankCount: number;
  /** Whether to redraw in place if standard error is a terminal. */
  readonly live: boolean;
  readonly terminal: Terminal;
  readonly sink: LogSink;
  readonly logger: Logger;
}

/** Shows live bars on a terminal, and log lines otherwise. */
export async function openProgress(options: OpenProgressOptions): Promise<ProgressView> {
  const { title, rankCount, live, terminal, sink, logger } = options;
  if (!live || !terminal.err.isTTY) return new LoggedProgress(title, rankCount, logger);
  // What draws takes long to load, and most commands run without a terminal.
  const { LiveProgress } = await import('./live-progress.ts');
  return new LiveProgress(title, rankCount, terminal, sink);
}
