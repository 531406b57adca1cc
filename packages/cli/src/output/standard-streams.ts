import { stderr, stdout } from 'node:process';

/** Most bytes of log that wait for a reader that does not read; further lines are dropped. */
const MAX_WAITING_LOG_BYTES = 8 * 2 ** 20;

/** The first failure of standard output; `undefined` while all went well. */
let outputFailure: NodeJS.ErrnoException | undefined;
let droppedLines = 0;
let isGuarded = false;

/**
 * Keeps failures of standard output and standard error from ending this process: a reader that went away, a full disk.
 * What cannot be written is lost, and the work goes on. Call it before anything is written.
 */
export function guardStandardStreams(): void {
  if (isGuarded) return;
  isGuarded = true;
  stdout.on('error', noteOutputFailure);
  stderr.on('error', () => {});
}

/** Writes to standard output. Never throws: see {@link outputError}. */
export function writeOutput(text: string): void {
  try {
    stdout.write(text);
  } catch (error) {
    // Writes to files and devices fail at once.
    noteOutputFailure(error as NodeJS.ErrnoException);
  }
}

/** Writes to standard error. Never throws. Text is dropped while 8 MiB of it wait for a reader. */
export function writeLog(text: string): void {
  if (stderr.writableLength > MAX_WAITING_LOG_BYTES) {
    droppedLines += 1;
    return;
  }
  const dropped = droppedLines;
  droppedLines = 0;
  try {
    stderr.write(dropped === 0 ? text : `${dropped} log lines were dropped: nothing read standard error\n${text}`);
  } catch {
    // Nothing is left to say it to.
  }
}

/** Why output was lost, where the reader did not just stop reading. */
export function outputError(): NodeJS.ErrnoException | undefined {
  return outputFailure?.code === 'EPIPE' ? undefined : outputFailure;
}

function noteOutputFailure(error: NodeJS.ErrnoException): void {
  outputFailure ??= error;
}
