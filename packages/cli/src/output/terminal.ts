import { stderr, stdout } from 'node:process';
import pico from 'picocolors';

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

/** The terminal that this process was started in. Honours `NO_COLOR` and `FORCE_COLOR`. */
export function processTerminal(): Terminal {
  return {
    print: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(text),
    out: { colors: pico.createColors(pico.isColorSupported && stdout.isTTY === true) },
    err: { colors: pico.createColors(pico.isColorSupported && stderr.isTTY === true), isTTY: stderr.isTTY === true },
  };
}
