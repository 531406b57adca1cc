import { type CheckpointEngineError, fitText, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { printable } from './printable.ts';
import type { Colors } from './terminal.ts';

/** Options of {@link errorText}. */
export interface ErrorTextOptions {
  readonly colors: Colors;
  /** Whether to add stacks and the complete chain of causes. */
  readonly debug: boolean;
}

/** Maximum number of lines of the other side's output without `--log-level debug`. The last lines say the most. */
const DETAIL_LINES = 15;
/** Maximum number of characters of such a line, and of a message, without `--log-level debug`. */
const LINE_CHARACTERS = 1_000;
const MESSAGE_CHARACTERS = 8_000;
/** The message of Node.js for a failed system call. */
const SYSTEM_MESSAGE = /^(E[A-Z0-9_]+: |[a-z]+ E[A-Z0-9_]+)/;

/**
 * Formats an error for users: what happened and at which rank, where, the output of the other side, what to do, the
 * code.
 */
export function errorText(value: unknown, { colors, debug }: ErrorTextOptions): string {
  const error = toCheckpointEngineError(value);
  const fit = (text: string): string => (debug ? text : fitText(text, MESSAGE_CHARACTERS));
  const lines = [`${colors.red(colors.bold('error:'))} ${fit(error.message)}${atRank(error)}`];
  const place = placeOf(error);
  if (place) lines.push(`  ${colors.dim('Where:')} ${place}`);
  // The detail of an internal error is a stack.
  if (error.detail && (debug || error.code !== 'CE_INTERNAL')) lines.push(...detailLines(error.detail, colors, debug));
  // The message already contains the text of the system call or library.
  const causes = [...causesOf(error)].filter(
    ({ code, message }) => debug || (code !== 'CE_INTERNAL' && !SYSTEM_MESSAGE.test(message)),
  );
  lines.push(...causes.map((cause) => `  ${colors.dim('Because:')} ${fit(cause.message)}${atRank(cause)}`));
  lines.push(`  ${colors.bold('What to do:')} ${fit(error.hint)}`, `  ${colors.dim('Code:')} ${error.code}`);
  if (debug && error.stack && error.code !== 'CE_INTERNAL')
    lines.push(...error.stack.split('\n').map((line) => `  ${colors.dim(line)}`));
  return lines.join('\n');
}

function atRank(error: CheckpointEngineError): string {
  // Messages about lost ranks already contain the rank.
  return error.rank === undefined || /\brank \d/i.test(error.message) ? '' : ` (rank ${error.rank})`;
}

function placeOf({ file, tensor, op, peer, status, message }: CheckpointEngineError): string {
  const known: [string, string | number | undefined][] = [
    ['file', file],
    ['tensor', tensor],
    ['operation', op],
    ['peer', peer],
    ['status', status],
  ];
  return known
    .flatMap(([name, value]) => (value === undefined ? [] : [[name, printable(`${value}`)] as const]))
    .filter(([, text]) => !message.includes(text))
    .map(([name, text]) => `${name} ${fitText(text, LINE_CHARACTERS)}`)
    .join(', ');
}

function detailLines(detail: string, colors: Colors, debug: boolean): string[] {
  const lines = detail.trimEnd().split('\n');
  const shown = debug ? lines : lines.slice(-DETAIL_LINES);
  const cut = lines.length > shown.length ? [`... ${lines.length - shown.length} lines before these`] : [];
  const fitted = debug ? shown : shown.map((line) => fitText(line, LINE_CHARACTERS));
  return [`  ${colors.dim('Output:')}`, ...[...cut, ...fitted].map((line) => `    ${line}`)];
}

function* causesOf(error: CheckpointEngineError): Generator<CheckpointEngineError> {
  for (let cause = error.cause; cause !== undefined; ) {
    const typed = toCheckpointEngineError(cause);
    yield typed;
    cause = typed.cause;
  }
}
