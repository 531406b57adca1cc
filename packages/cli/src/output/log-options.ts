/** Levels of `--log-level`, quietest last. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
/** A level of `--log-level`. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Forms of `--log-format`. */
export const LOG_FORMATS = ['pretty', 'json'] as const;
/** A form of `--log-format`. */
export type LogFormat = (typeof LOG_FORMATS)[number];

/** What the log flags say. */
export interface LogOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}
