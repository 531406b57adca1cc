import type { Stage } from '@checkpoint-engine/ps';
import { formatDuration, formatPart, formatRate } from '../output/format.ts';
import type { Colors } from '../output/terminal.ts';
import { PHASE_TEXT } from './phase-text.ts';
import { type ProgressState, worldPhase } from './progress-state.ts';
import { pipelineViews, type StageView } from './stage-views.ts';

/** The content of a frame, and its maximum width. */
export interface Frame {
  readonly title: string;
  readonly state: ProgressState;
  readonly elapsedMs: number;
  readonly columns: number;
  readonly colors: Colors;
}

/** Names of stages for users. `h2d` is also a copy without a GPU. */
const STAGE_TEXT: Readonly<Record<Stage, string>> = {
  read: 'read',
  h2d: 'copy',
  broadcast: 'broadcast',
  reload: 'load',
  pull: 'pull',
};
const INDENT = '  ';
const NAME_COLUMNS = 9;
const PERCENT_COLUMNS = 4;
const GAP = '  ';
const MIN_BAR = 10;
const LONGEST_BAR = 30;
/** Texts after the percentage, if there is room, and their widths. The first one is dropped last. */
const DETAILS = [
  { columns: 11, text: ({ rateGBps }: StageView) => (rateGBps === undefined ? '' : formatRate(rateGBps * 1e6, 1)) },
  { columns: 15, text: ({ doneBytes, totalBytes }: StageView) => formatPart(doneBytes, totalBytes) },
  { columns: 13, text: ({ leftMs }: StageView) => (leftMs ? `${formatDuration(leftMs)} left` : '') },
] as const;

/** The headline and a bar for each stage in the order of the pipeline. No line is longer than the columns. */
export function frameText(frame: Frame): string {
  const { state, columns } = frame;
  const fixed = INDENT.length + NAME_COLUMNS + 1 + 1 + PERCENT_COLUMNS;
  const room = columns - 1 - fixed;
  let details: readonly (typeof DETAILS)[number][] = DETAILS;
  const widthOf = (): number => details.reduce((sum, detail) => sum + GAP.length + detail.columns, 0);
  while (details.length > 0 && room - widthOf() < MIN_BAR) details = details.slice(0, -1);
  const barColumns = Math.max(1, Math.min(LONGEST_BAR, room - widthOf()));
  const rows = pipelineViews(state).map((view) => rowText(view, barColumns, details, frame.colors));
  return [headline(frame), ...rows].join('\n');
}

function rowText(view: StageView, barColumns: number, details: readonly (typeof DETAILS)[number][], colors: Colors) {
  const { stage, doneBytes, totalBytes } = view;
  const isReached = totalBytes > 0;
  const progress = isReached ? Math.min(1, doneBytes / totalBytes) : 0;
  const done = Math.floor(progress * barColumns);
  const bar = colors.cyan('━'.repeat(done)) + colors.dim('─'.repeat(barColumns - done));
  const percent = isReached ? `${Math.floor(progress * 100)}%` : '';
  const shown = isReached ? details.map((detail) => detail.text(view).padStart(detail.columns)) : [];
  const line = `${INDENT}${STAGE_TEXT[stage].padEnd(NAME_COLUMNS)} ${bar} ${percent.padStart(PERCENT_COLUMNS)}`;
  return [line, ...shown].join(GAP).trimEnd();
}

/**
 * Formats the headline. A title that is too long is shortened in its middle: the phase and the duration stay visible.
 */
function headline({ title, state, elapsedMs, columns, colors }: Frame): string {
  const phase = PHASE_TEXT[worldPhase(state)];
  const elapsed = formatDuration(elapsedMs);
  const room = columns - 1 - ` · ${phase} · ${elapsed}`.length;
  if (room < 3) return `${phase} · ${elapsed}`.slice(0, Math.max(0, columns - 1));
  const dot = colors.dim('·');
  return `${colors.bold(cutMiddle(title, room))} ${dot} ${phase} ${dot} ${colors.dim(elapsed)}`;
}

function cutMiddle(text: string, columns: number): string {
  const characters = [...text];
  if (characters.length <= columns) return text;
  const kept = columns - 1;
  const front = Math.ceil(kept / 2);
  return `${characters.slice(0, front).join('')}…${characters.slice(characters.length - (kept - front)).join('')}`;
}
