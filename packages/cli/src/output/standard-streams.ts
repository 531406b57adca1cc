import { stderr, stdout } from 'node:process';

/** Maximum size of the log that waits for a slow reader. Further lines are dropped. */
const MAX_WAITING_LOG_BYTES = 8 * 2 ** 20;

/** The first failure of standard output; `undefined` if there was none. */
let outputFailure: NodeJS.ErrnoException | undefined;
let droppedLines = 0;
let isGuarded = false;

/**
 * Keeps failures of standard output and standard error, such as a closed pipe or a full disk, from ending this process.
 * Output is lost, and the work continues. Call it before the first output.
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

/** Writes to standard error. Never throws. Drops text while 8 MiB of it wait for a reader. */
export function writeLog(text: string): void {
  if (stderr.writableLength > MAX_WAITING_LOG_BYTES) {
    droppedLines += 1;
    return;
  }
  const dropped = droppedLines;
  droppedLines = 0;
  try {
    stderr.write(
      dropped === 0 ? text : `${dropped} log lines were dropped because no process read standard error\n${text}`,
    );
  } catch {
    // No stream is left for a message.
  }
}

/** The reason why output was lost, unless the reader just stopped reading. */
export function outputError(): NodeJS.ErrnoException | undefined {
  return outputFailure?.code === 'EPIPE' ? undefined : outputFailure;
}

function noteOutputFailure(error: NodeJS.ErrnoException): void {
  outputFailure ??= error;
}
