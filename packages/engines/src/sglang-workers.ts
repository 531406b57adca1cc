import { silentLogger } from '@checkpoint-engine/interface';
import type { EngineEndpoint, EngineOptions, EngineWait, WorkerChoice } from './engine-client.ts';
import { type EngineDescription, readWorkerDescription, receiverName } from './engine-description.ts';
import { EngineHttp, isMissing, isRefused } from './engine-http.ts';
import { fieldsOf, parseFields } from './replies.ts';

const QUERY_TIMEOUT_MS = 10_000;
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
  const states = await pluginStates(options, wait);
  const { logger = silentLogger } = options;
  logger.info({ engine: 'sglang' }, receptionText(states));
  return { workers: states.length > 0 ? 'v2' : 'v1', passes: 'any' };
}

/** Returns the descriptions of the plugin's workers. @throws As {@link findSglangWorkers}. */
export async function describeSglang(options: EngineOptions, wait: EngineWait): Promise<EngineDescription> {
  const states = await pluginStates(options, wait);
  const hint =
    states.length === 0
      ? 'Install the Python package checkpoint-engine-worker with SGLang 0.5.12 or later, see docs/update-sglang.md: without it every worker receives the complete checkpoint in buckets'
      : undefined;
  return {
    receiver: states.length === 0 ? undefined : receiverName(states[0]),
    summary: receptionText(states),
    hint,
    workers: states.map(readWorkerDescription),
  };
}

function receptionText(states: readonly Readonly<Record<string, unknown>>[]): string {
  const text =
    states.length > 0
      ? 'SGLang receives weights through the plugin of checkpoint-engine-worker, protocol v2'
      : "SGLang receives weights through the Python tool's worker, protocol v1";
  const isUnknown = states.some(({ weights }) => weights === 'unknown');
  return text + (isUnknown ? '; its weights are unknown since an update that failed' : '');
}

/** Returns the plugin's part of each internal state; nothing if a state lacks it. */
async function pluginStates(
  { endpoints, apiKey, logger = silentLogger }: EngineOptions,
  wait: EngineWait,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const http = new EngineHttp({ name: 'sglang', hints: HINTS, endpoints, apiKey, logger });
  const { internal_states } = await serverInfo(http, endpoints[0]!, wait);
  if (!Array.isArray(internal_states)) return [];
  const states = internal_states.map((state) => fieldsOf(fieldsOf(state)[FIELD]));
  return states.every(({ protocols }) => Array.isArray(protocols) && protocols.includes(2)) ? states : [];
}

async function serverInfo(
  http: EngineHttp,
  endpoint: EngineEndpoint,
  wait: EngineWait,
): Promise<Readonly<Record<string, unknown>>> {
  const timeoutMs = Math.min(QUERY_TIMEOUT_MS, wait.timeoutMs);
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
