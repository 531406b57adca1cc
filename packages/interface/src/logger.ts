/** What components log with. pino's loggers satisfy it. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const nothing = (): void => {};

/** A logger that says nothing: the default of every component. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
