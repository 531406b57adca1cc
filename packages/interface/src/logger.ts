/** The logger interface of all components. pino's loggers satisfy it. */
export interface Logger {
  /** Helps to diagnose a fault. */
  debug(fields: object, message: string): void;
  /** Reports normal operation. */
  info(fields: object, message: string): void;
  /** Needs attention; work continues. */
  warn(fields: object, message: string): void;
  /** Reports a failure. */
  error(fields: object, message: string): void;
}

const nothing = (): void => {};

/** A logger that discards everything: the default of every component. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
