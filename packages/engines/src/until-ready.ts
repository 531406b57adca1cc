import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import type { EngineAdapter } from './adapter.ts';
import type { EngineEndpoint, EngineWait } from './engine-client.ts';
import { type EngineHttp, isRefused } from './engine-http.ts';
import type { HttpReply } from './http-request.ts';
import { lastingFailure } from './lasting-failure.ts';

/** Pauses between two checks of whether an engine is ready. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** Time limit for one check. */
const QUERY_TIMEOUT_MS = 5_000;
/** Interval at which the log reports the wait. */
const LOG_EVERY_MS = 10_000;

/**
 * Checks an engine with growing pauses until it is ready.
 *
 * @throws `CE_ENGINE_UNREACHABLE` with the last answer after the time-out, and at once if a repetition cannot help:
 * another server answers, the name does not resolve, TLS fails; `CE_ENGINE_FAILED` if the engine rejects the API key.
 */
export async function untilReady(
  http: EngineHttp,
  endpoint: EngineEndpoint,
  { readyPath: path, isListening }: Pick<EngineAdapter, 'readyPath' | 'isListening'>,
  { signal, timeoutMs }: EngineWait,
  logger: Logger,
): Promise<void> {
  const startedAt = performance.now();
  const endsAt = startedAt + timeoutMs;
  let pauseMs = FIRST_PAUSE_MS;
  let loggedAt = Number.NEGATIVE_INFINITY;
  for (let before = 0; ; before++) {
    const wait = { signal, timeoutMs: Math.min(QUERY_TIMEOUT_MS, Math.max(1, endsAt - performance.now())) };
    let last: unknown;
    try {
      await http.call(endpoint, { method: 'GET', path }, wait);
    } catch (error) {
      if (signal.aborted || isRefused(error)) throw error;
      const lasting = await lastingFailure(http, { endpoint, path, error, before, signal });
      if (lasting) throw lasting;
      last = error;
    }
    const answer = last === undefined ? undefined : replyIn(last);
    if (last === undefined || (answer !== undefined && isListening?.(answer))) {
      if (loggedAt > 0) logger.info({ engine: http.name, waitedMs: elapsed(startedAt) }, `${http.name} is ready`);
      return;
    }
    const now = performance.now();
    if (now + pauseMs >= endsAt) throw notReady(http, endpoint, path, timeoutMs, last);
    if (now - loggedAt >= LOG_EVERY_MS) {
      loggedAt = now;
      const why = last instanceof Error ? last.message : String(last);
      logger.info(
        { engine: http.name, waitedMs: elapsed(startedAt), timeoutMs },
        `Waiting for ${http.name} at ${http.shown(endpoint)}: ${why}`,
      );
    }
    await pause(pauseMs, signal);
    pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.5);
  }
}

/** Returns the answer inside an error of {@link EngineHttp.call}. */
function replyIn(error: unknown): HttpReply | undefined {
  if (!CheckpointEngineError.isInstance(error) || error.status === undefined) return undefined;
  return { status: error.status, text: error.detail ?? '' };
}

function notReady(http: EngineHttp, endpoint: EngineEndpoint, path: string, timeoutMs: number, cause: unknown) {
  const address = http.shown(endpoint);
  const last = cause instanceof Error ? `; last: ${cause.message}` : '';
  return new CheckpointEngineError(
    'CE_ENGINE_UNREACHABLE',
    `${http.name} at ${address} was not ready within ${timeoutMs} ms${last}`,
    'Start the engine, check its address, or raise the time-out',
    { op: `GET ${path}`, peer: address, retryable: true, cause },
  );
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw abortError(signal, 'Waiting for the engine');
  }
}

const elapsed = (since: number): number => Math.round(performance.now() - since);
