import { stderr, stdout } from 'node:process';
import pico from 'picocolors';
import { guardStandardStreams, writeLog, writeOutput } from './standard-streams.ts';

/** Colours, or functions that leave text as it is where the stream takes none. */
export type Colors = ReturnType<typeof pico.createColors>;

/** Where a command writes: results to standard output, everything else to standard error. */
export interface Terminal {
  /** Writes a line of the result. */
  print(text: string): void;
  /** Writes to standard error, as it is. */
  note(text: string): void;
  readonly out: { readonly colors: Colors };
  readonly err: { readonly colors: Colors; readonly isTTY: boolean };
}

/**
 * The terminal that this process was started in. Honours `NO_COLOR` and `FORCE_COLOR`. Output that cannot be written is
 * lost: it neither throws nor ends the process.
 */
export function processTerminal(): Terminal {
  guardStandardStreams();
  return {
    print: (text) => writeOutput(`${text}\n`),
    note: writeLog,
    out: { colors: pico.createColors(pico.isColorSupported && stdout.isTTY === true) },
    err: { colors: pico.createColors(pico.isColorSupported && stderr.isTTY === true), isTTY: stderr.isTTY === true },
  };
}
