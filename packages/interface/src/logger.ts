/** What components log with. pino's loggers satisfy it. */
export interface Logger {
  /** What only helps in finding a fault. */
  debug(fields: object, message: string): void;
  /** What went as it should. */
  info(fields: object, message: string): void;
  /** What somebody should look at, though work goes on. */
  warn(fields: object, message: string): void;
  /** What made something fail. */
  error(fields: object, message: string): void;
}

const nothing = (): void => {};

/** A logger that says nothing: the default of every component. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
