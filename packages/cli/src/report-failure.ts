import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { errorText } from './output/error-text.ts';
import type { Terminal } from './output/terminal.ts';
import { instancesOf } from './update/failed-update.ts';

/** Prints a failure on standard error for users and, with `--json`, as an object on standard output. */
export function reportFailure(failure: unknown, args: readonly string[], terminal: Terminal): void {
  // Uses the raw arguments: if they are the problem, they were not parsed.
  const level = args.indexOf('--log-level');
  const debug = args.includes('--log-level=debug') || (level >= 0 && args[level + 1] === 'debug');
  const instances = instancesOf(failure);
  if (args.includes('--json')) {
    const error = toCheckpointEngineError(failure).toJSON();
    const asked = instances.length > 0 ? { instances } : {};
    terminal.print(JSON.stringify({ ok: false, command: args[0], error, ...asked }));
  }
  const { colors } = terminal.err;
  const endpoints = instances.map(({ endpoint }) => endpoint).join(', ');
  const unknown = endpoints && `  ${colors.dim('Weights:')} unknown at ${endpoints}, until an update succeeds\n`;
  terminal.note(`${errorText(failure, { colors, debug })}\n${unknown}`);
}
