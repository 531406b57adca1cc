import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** A span of a trace: a phase of a rank, or a bucket in a stage. */
export interface TraceSpan {
  readonly rank: number;
  /** `phases`, `read`, `h2d`, `broadcast`, `reload`, `pull`. */
  readonly row: string;
  /** Name of the phase, or the number of the bucket as text. */
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly sizeBytes: number;
}

const ROWS = new Set(['phases', 'read', 'h2d', 'broadcast', 'reload', 'pull']);

/**
 * Reads the spans of a trace that `update --trace` wrote.
 *
 * @param value The parsed JSON.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` if it is not such a trace, or its update did not end.
 */
export function readTrace(value: unknown): TraceSpan[] {
  const events = (value as { traceEvents?: unknown } | null)?.traceEvents;
  if (!Array.isArray(events)) throw invalid('The trace has no list "traceEvents"');
  const spans = events.flatMap((event: unknown) => spanOf(event) ?? []);
  const phases = new Set(spans.filter(({ row }) => row === 'phases').map(({ name }) => name));
  for (const name of ['plan', 'stream']) {
    if (!phases.has(name)) throw invalid(`The trace has no phase "${name}"`);
  }
  return spans;
}

function spanOf(event: unknown): TraceSpan | undefined {
  const { ph, cat, pid, name, ts, dur, args } = (event ?? {}) as Record<string, unknown>;
  if (ph !== 'X' || typeof cat !== 'string' || !ROWS.has(cat)) return undefined;
  const isWhole = [pid, ts, dur].every((one) => typeof one === 'number' && Number.isFinite(one) && one >= 0);
  if (!isWhole || typeof name !== 'string')
    throw invalid(
      `The trace has an event without rank, name, time or duration: ${JSON.stringify(event).slice(0, 200)}`,
    );
  const { sizeBytes } = (args ?? {}) as Record<string, unknown>;
  return {
    rank: pid as number,
    row: cat,
    name: cat === 'phases' ? name : name.replace(/^\D*/, ''),
    fromMs: (ts as number) / 1000,
    toMs: ((ts as number) + (dur as number)) / 1000,
    sizeBytes: typeof sizeBytes === 'number' && sizeBytes > 0 ? sizeBytes : 0,
  };
}

function invalid(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'Use a trace of a successful update, written by checkpoint-engine update --trace',
  );
}
