/** Levels of `--log-level`, from the most to the least output. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
/** A level of `--log-level`. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Formats of `--log-format`. */
export const LOG_FORMATS = ['pretty', 'json'] as const;
/** A format of `--log-format`. */
export type LogFormat = (typeof LOG_FORMATS)[number];

/** The values of the log flags. */
export interface LogOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}
