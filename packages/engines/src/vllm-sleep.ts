import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { EngineEndpoint, EngineWait } from './engine-client.ts';
import { EngineHttp, type EngineHttpOptions, isRefused } from './engine-http.ts';
import { onAll } from './on-all.ts';
import { parseFields, textsOf } from './replies.ts';
import { INIT_BACKEND, VLLM_HINTS, type VllmLoading } from './vllm-adapters.ts';
import type { VllmReceiver } from './vllm-receiver.ts';

/** Time limit for one query. */
const QUERY_TIMEOUT_MS = 30_000;
/** The tag of the memory of weights. */
const WEIGHTS = 'weights';

/**
 * Checks that the weights of an engine have memory: vLLM's sleep mode releases it. Only a receiver of this project
 * can report this. It is queried only if vLLM reports that it sleeps, which vLLM also does while it is paused.
 *
 * @throws `CE_ENGINE_FAILED` The weights sleep, or the engine would be resumed while other parts of it sleep.
 */
export async function checkAwake(
  options: Pick<EngineHttpOptions, 'endpoints' | 'apiKey' | 'logger'>,
  receiver: VllmReceiver['name'],
  pause: VllmLoading['pause'],
  { signal, timeoutMs }: EngineWait,
): Promise<void> {
  if (receiver === 'v1') return;
  const http = new EngineHttp({ name: 'vllm', hints: VLLM_HINTS, ...options });
  const limitMs = Math.min(QUERY_TIMEOUT_MS, timeoutMs);
  await onAll(options.endpoints, signal, async (endpoint, stop) => {
    const wait = { signal: stop, timeoutMs: limitMs };
    if (!(await maySleep(http, endpoint, wait))) return;
    // The worker checks its memory before it answers.
    if (receiver === 'backend') await http.call(endpoint, { method: 'POST', ...INIT_BACKEND }, wait);
    else checkTags(http.shown(endpoint), await asleepTags(http, endpoint, wait), pause);
  });
}

async function maySleep(http: EngineHttp, endpoint: EngineEndpoint, wait: EngineWait): Promise<boolean> {
  try {
    const { text } = await http.call(endpoint, { method: 'GET', path: '/is_sleeping' }, wait);
    return parseFields(text).is_sleeping === true;
  } catch (error) {
    // Releases without the route have no sleep mode.
    if (wait.signal.aborted || isRefused(error)) throw error;
    return false;
  }
}

/** The parts of the engine that any of its workers reports without memory. */
async function asleepTags(http: EngineHttp, endpoint: EngineEndpoint, wait: EngineWait): Promise<string[]> {
  const body = { method: 'checkpoint_engine_describe', timeout: wait.timeoutMs / 1000 };
  const { text } = await http.call(endpoint, { method: 'POST', path: '/collective_rpc', body }, wait);
  const { results } = parseFields(text);
  const workers: unknown[] = Array.isArray(results) ? results : [];
  const tags = workers.flatMap((worker) => textsOf((worker as { asleep?: unknown } | null)?.asleep) ?? []);
  return [...new Set(tags)].sort();
}

function checkTags(address: string, asleep: readonly string[], pause: VllmLoading['pause']): void {
  if (asleep.includes(WEIGHTS)) {
    throw new CheckpointEngineError(
      'CE_ENGINE_FAILED',
      `vllm at ${address} sleeps: its weights have no memory to load into`,
      'Send POST /wake_up?tags=weights to the engine, and run the update again',
      { peer: address },
    );
  }
  if (asleep.length === 0 || pause === 'off') return;
  throw new CheckpointEngineError(
    'CE_ENGINE_FAILED',
    `vllm at ${address} is partly asleep (${asleep.join(', ')}), and would be resumed after the update`,
    'Update it without --pause: it runs no requests until all of it is awake',
    { peer: address },
  );
}
