import process from 'node:process';
import { outputError, writeLog } from './standard-streams.ts';

/** Commands that change something: their status reports the change, not whether the result could be printed. */
const ACTIONS: ReadonlySet<string> = new Set(['update', 'join', 'demo', 'serve', 'rank', 'demo-worker']);

/**
 * Reports at the end of this process that its result could not be written to standard output. A command whose only
 * result is its output fails then; a command that changed something has succeeded.
 *
 * @param command The name of the command.
 */
export function reportLostOutput(command: string | undefined): void {
  process.on('exit', () => {
    const error = outputError();
    if (!error) return;
    const isDone = ACTIONS.has(command ?? '');
    if (!isDone) process.exitCode ||= 1;
    const rest = isDone ? '; the exit status does not depend on it' : '';
    writeLog(`The result could not be written to standard output: ${error.message}${rest}\n`);
  });
}
