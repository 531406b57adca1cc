import { stderr, stdout } from 'node:process';
import pico from 'picocolors';
import { guardStandardStreams, writeLog, writeOutput } from './standard-streams.ts';
import { terminalText } from './terminal-text.ts';

/** Functions that color text, or return it unchanged if the stream does not support colors. */
export type Colors = ReturnType<typeof pico.createColors>;

/** The output of a command: results go to standard output, everything else to standard error. */
export interface Terminal {
  /** Writes a line of the result. */
  print(text: string): void;
  /** Writes text to standard error, without a line end of its own. */
  note(text: string): void;
  readonly out: {
    readonly colors: Colors;
    /** The width of standard output, if it is a terminal. */
    readonly columns?: number | undefined;
  };
  readonly err: { readonly colors: Colors; readonly isTTY: boolean };
}

/**
 * The terminal of this process. Honors `NO_COLOR` and `FORCE_COLOR`. Escapes characters of the text that would act on
 * the terminal. Output that cannot be written is lost: it neither throws nor ends the process.
 */
export function processTerminal(): Terminal {
  guardStandardStreams();
  return {
    print: (text) => writeOutput(`${terminalText(text)}\n`),
    note: (text) => writeLog(terminalText(text)),
    out: {
      colors: pico.createColors(pico.isColorSupported && stdout.isTTY === true),
      columns: stdout.isTTY === true ? stdout.columns : undefined,
    },
    err: { colors: pico.createColors(pico.isColorSupported && stderr.isTTY === true), isTTY: stderr.isTTY === true },
  };
}
