import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { errorText } from './error-text.ts';
import type { Terminal } from './terminal.ts';

/** Prints a failure on standard error for users and, with `--json`, as an object on standard output. */
export function reportFailure(failure: unknown, args: readonly string[], terminal: Terminal): void {
  // Uses the raw arguments: if they are the problem, nothing has parsed them.
  const level = args.indexOf('--log-level');
  const debug = args.includes('--log-level=debug') || (level >= 0 && args[level + 1] === 'debug');
  if (args.includes('--json')) {
    terminal.print(JSON.stringify({ ok: false, command: args[0], error: toCheckpointEngineError(failure).toJSON() }));
  }
  terminal.note(`${errorText(failure, { colors: terminal.err.colors, debug })}\n`);
}
