import { parseRecord } from './pretty-log.ts';

const WARN = 40;

/** A line of a rank's standard error as a log record: its own records as they are, what else is printed there as a warning. */
export function rankLogLine(line: string, rank: number): string {
  return parseRecord(line) ? line : JSON.stringify({ level: WARN, time: Date.now(), rank, msg: line });
}
