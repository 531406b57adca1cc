import { writeFile } from 'node:fs/promises';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import { traceEvents } from './trace-events.ts';

/** Writes the trace of `events` to `path`. See {@link traceEvents}. */
export async function writeTrace(path: string, events: readonly ProgressEvent[]): Promise<void> {
  const trace = { displayTimeUnit: 'ms', traceEvents: traceEvents(events) };
  await writeFile(path, JSON.stringify(trace));
}
