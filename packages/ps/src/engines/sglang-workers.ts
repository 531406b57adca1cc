import { silentLogger } from '@checkpoint-engine/interface';
import type { EngineEndpoint, EngineOptions, EngineWait, WorkerChoice } from './engine-client.ts';
import { EngineHttp, isMissing, isRefused } from './engine-http.ts';
import { parseFields } from './replies.ts';

const LOOK_TIMEOUT_MS = 10_000;
/** The fields that the plugin of `checkpoint-engine-worker` adds to each internal state. */
const FIELD = 'checkpoint_engine_worker';

const HINTS = {
  missing: 'Use a release of SGLang with this route',
  failed: "Read SGLang's log",
  slow: "Check SGLang's log",
};

/**
 * Detects the protocol of SGLang's workers: 2 if the plugin of the Python package `checkpoint-engine-worker` is loaded.
 * The workers may load again for each draft model.
 *
 * @throws `CE_ENGINE_FAILED` if SGLang rejects the API key.
 */
export async function findSglangWorkers(options: EngineOptions, wait: EngineWait): Promise<WorkerChoice> {
  const { endpoints, apiKey, logger = silentLogger } = options;
  const http = new EngineHttp({ name: 'sglang', hints: HINTS, endpoints, apiKey, logger });
  const state = pluginIn(await serverInfo(http, endpoints[0]!, wait));
  const text = state
    ? 'SGLang takes weights by the plugin of checkpoint-engine-worker, protocol v2'
    : "SGLang takes weights by the Python tool's worker, protocol v1";
  const unknown = state?.weights === 'unknown' ? '; its weights are unknown since an update that failed' : '';
  logger.info({ engine: 'sglang' }, text + unknown);
  return { workers: state ? 'v2' : 'v1', passes: 'any' };
}

async function serverInfo(
  http: EngineHttp,
  endpoint: EngineEndpoint,
  wait: EngineWait,
): Promise<Readonly<Record<string, unknown>>> {
  const timeoutMs = Math.min(LOOK_TIMEOUT_MS, wait.timeoutMs);
  for (const path of ['/server_info', '/get_server_info']) {
    try {
      const { text } = await http.call(endpoint, { method: 'GET', path }, { ...wait, timeoutMs });
      return parseFields(text);
    } catch (error) {
      if (wait.signal.aborted || isRefused(error)) throw error;
      if (!isMissing(error)) return {};
    }
  }
  return {};
}

function pluginIn({
  internal_states,
}: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> | undefined {
  if (!Array.isArray(internal_states) || internal_states.length === 0) return undefined;
  const states = internal_states.map((state) => fieldsOf(fieldsOf(state)[FIELD]));
  const speak = states.every(({ protocols }) => Array.isArray(protocols) && protocols.includes(2));
  if (!speak) return undefined;
  return states.find(({ weights }) => weights === 'unknown') ?? states[0];
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
