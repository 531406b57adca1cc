import type { ProgressEvent } from '@checkpoint-engine/ps';
import { writeOutputFile } from '../output/output-file.ts';
import { traceEvents } from './trace-events.ts';

/**
 * Writes the trace of `events` to `path`. See {@link traceEvents}.
 *
 * @returns Why the trace cannot be written, or `undefined`. A lost trace does not fail the update.
 */
export async function writeTrace(path: string, events: readonly ProgressEvent[]): Promise<string | undefined> {
  try {
    await writeOutputFile(path, JSON.stringify({ displayTimeUnit: 'ms', traceEvents: traceEvents(events) }));
    return undefined;
  } catch (error) {
    return `The trace could not be written to "${path}": ${(error as Error).message}`;
  }
}
