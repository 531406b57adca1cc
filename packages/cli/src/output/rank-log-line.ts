import { parseRecord } from './pretty-log.ts';

const WARN = 40;

/** Converts a line of a rank's standard error to a log record: its records unchanged, other output as a warning. */
export function rankLogLine(line: string, rank: number): string {
  return parseRecord(line) ? line : JSON.stringify({ level: WARN, time: Date.now(), rank, msg: line });
}
