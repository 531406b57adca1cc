import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { type Logger as Pino, pino } from 'pino';
import type { LogFormat, LogLevel } from './log-options.ts';
import { prettyLogLine } from './pretty-log.ts';
import type { Terminal } from './terminal.ts';

/** The log of this process and of the processes that it supervises, on standard error. */
export class LogSink {
  readonly #terminal: Terminal;
  readonly #format: LogFormat;
  #write: (text: string) => void;

  constructor(terminal: Terminal, format: LogFormat) {
    this.#terminal = terminal;
    this.#format = format;
    this.#write = terminal.note;
  }

  /** Takes one line of JSON as pino writes it. */
  writeLine(line: string): void {
    this.#write(this.#format === 'json' ? `${line}\n` : `${prettyLogLine(line, this.#terminal.err.colors)}\n`);
  }

  /** Redirects lines until the returned function is called: a live bar prints them above itself. */
  redirect(write: (text: string) => void): () => void {
    this.#write = write;
    return () => {
      this.#write = this.#terminal.note;
    };
  }
}

/** Creates a pino logger that writes to `sink`. */
export function createLogger(level: LogLevel, sink: { writeLine(line: string): void }, bindings: object = {}): Pino {
  return pino(
    {
      level,
      base: null,
      // Unlike bindings, a record's own fields of the same name override these.
      mixin: () => ({ ...bindings }),
      serializers: {
        err: (error: unknown) => (CheckpointEngineError.isInstance(error) ? error.toJSON() : String(error)),
      },
    },
    { write: (line: string) => sink.writeLine(line.trimEnd()) },
  );
}
