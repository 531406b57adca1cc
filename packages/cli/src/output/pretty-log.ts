import type { Colors } from './terminal.ts';

const LEVELS: Readonly<Record<number, { name: string; color: 'dim' | 'cyan' | 'yellow' | 'red' }>> = {
  10: { name: 'TRACE', color: 'dim' },
  20: { name: 'DEBUG', color: 'dim' },
  30: { name: 'INFO', color: 'cyan' },
  40: { name: 'WARN', color: 'yellow' },
  50: { name: 'ERROR', color: 'red' },
  60: { name: 'FATAL', color: 'red' },
};

/** Formats one line of pino's JSON for users: time, level, rank, message, fields. Returns other lines unchanged. */
export function prettyLogLine(line: string, colors: Colors): string {
  const record = parseRecord(line);
  if (!record) return line;
  const { time, level, rank, msg, ...fields } = record;
  const { name, color } = LEVELS[level] ?? { name: String(level), color: 'dim' };
  const clock = clockText(new Date(time));
  const isNamed = rank === undefined || String(msg).startsWith(`Rank ${rank} `);
  const who = isNamed ? '' : ` ${colors.dim(`rank ${rank}`)}`;
  const rest = Object.entries(fields).map(([key, value]) => ` ${colors.dim(`${key}=`)}${fieldText(key, value)}`);
  return `${colors.dim(clock)} ${colors[color](name.padEnd(5))}${who} ${msg ?? ''}${rest.join('')}`;
}

interface LogRecord extends Record<string, unknown> {
  readonly time: number;
  readonly level: number;
  readonly rank?: unknown;
  readonly msg?: unknown;
}

/** Parses a record of pino. Returns `undefined` for any other text. */
export function parseRecord(line: string): LogRecord | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const record: unknown = JSON.parse(line);
    const { time, level } = record as LogRecord;
    return typeof time === 'number' && typeof level === 'number' ? (record as LogRecord) : undefined;
  } catch {
    return undefined;
  }
}

/** Local time of day with milliseconds. */
function clockText(date: Date): string {
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

function fieldText(key: string, value: unknown): string {
  if (key === 'err' && isError(value)) return `${JSON.stringify(value.message)} (${value.code}; ${value.hint})`;
  return typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value);
}

function isError(value: unknown): value is { readonly message: string; readonly code: string; readonly hint: string } {
  return typeof value === 'object' && value !== null && 'message' in value && 'code' in value && 'hint' in value;
}
