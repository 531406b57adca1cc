import { shownText, toCheckpointEngineError, UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { DescribeOptions, EngineWait } from './engine-client.ts';
import {
  type EngineDescription,
  readVersion,
  readWorkerDescription,
  receiverName,
  type WorkerDescription,
} from './engine-description.ts';
import { EngineHttp, type EngineHttpOptions, isRefused } from './engine-http.ts';
import { fieldsOf, parseFields } from './replies.ts';
import { INIT_BACKEND } from './vllm-adapters.ts';
import { draftIn, draftOf, type VllmDraft } from './vllm-draft.ts';

/** The receiver of a vLLM server, and the state that it reports. */
export interface VllmReceiver extends VllmDraft {
  /** `v1`: the Python tool's extension. The others belong to the Python package `checkpoint-engine-worker`. */
  readonly name: 'v1' | 'extension' | 'backend';
  /** The state of the workers' weights, if they report it: `unknown` after an update that failed halfway. */
  readonly weights?: string | undefined;
  /** The workers' descriptions, if they report them. */
  readonly described?: readonly unknown[] | undefined;
  /** Whether vLLM keeps outputs of a multimodal model's encoder between requests. */
  readonly cachesEncoder?: boolean | undefined;
  /** The reason why the workers did not describe themselves, with a hint. */
  readonly unreported?: string | undefined;
}

/** The first answer of a server takes seconds, because it inspects its complete environment. */
const QUERY_TIMEOUT_MS = 30_000;
/** The backend that `checkpoint-engine-worker` registers. */
const BACKEND = 'checkpoint_engine';
/** Extensions of the Python tool. A query for their description would be an error in their log. */
const TOOL_EXTENSION = /^checkpoint_engine\./;

const HINTS = {
  missing: 'Start vLLM with VLLM_SERVER_DEV_MODE=1: without it the route does not exist',
  failed: "Read vLLM's log",
  slow: "Check vLLM's log",
};

/**
 * Detects how a vLLM server receives weights, from its configuration, and from its workers if the configuration is not
 * sufficient. All servers of an instance have the same configuration, so the query goes to the first one.
 *
 * @param last The receiver that was found before. Workers that had the extension are queried first: if they still have
 *   it and report their draft model, the configuration is not read.
 * @throws `CE_ENGINE_UNREACHABLE`, `CE_TIMEOUT`, `CE_ENGINE_FAILED` if vLLM rejects the API key.
 */
export async function findVllmReceiver(
  options: Pick<EngineHttpOptions, 'endpoints' | 'apiKey' | 'logger'>,
  wait: EngineWait,
  last?: VllmReceiver['name'],
): Promise<VllmReceiver> {
  const http = new EngineHttp({ name: 'vllm', hints: HINTS, ...options });
  const endpoint = options.endpoints[0]!;
  const timeoutMs = Math.min(QUERY_TIMEOUT_MS, wait.timeoutMs);
  const ask = async (method: 'GET' | 'POST', path: string, body?: object) => {
    try {
      const { text } = await http.call(endpoint, { method, path, body }, { ...wait, timeoutMs });
      return parseFields(text);
    } catch (error) {
      if (wait.signal.aborted || isRefused(error)) throw error;
      return undefined;
    }
  };
  const describe = async () => {
    const call = { method: 'checkpoint_engine_describe', timeout: timeoutMs / 1000 };
    return extensionIn(await ask('POST', '/collective_rpc', call));
  };
  const before = last === 'extension' ? await describe() : undefined;
  if (before?.keptDraft !== undefined) return before;
  const info = await ask('GET', '/server_info?config_format=json');
  const config = fieldsOf(info?.vllm_config);
  const extension = fieldsOf(config.parallel_config).worker_extension_cls;
  const mayExtend = typeof extension === 'string' ? extension !== '' && !TOOL_EXTENSION.test(extension) : true;
  const described = before ?? (mayExtend ? await describe() : undefined);
  if (described) return { ...described, keptDraft: described.keptDraft ?? draftIn(config).keptDraft };
  const cachesEncoder = Object.keys(fieldsOf(fieldsOf(config.model_config).multimodal_config)).length > 0;
  if (fieldsOf(config.weight_transfer_config).backend !== BACKEND) return { name: 'v1', cachesEncoder };
  return { name: 'backend', ...draftIn(config), cachesEncoder };
}

const OLD_RECEIVER =
  'Update the Python package checkpoint-engine-worker: this release does not report how it receives weights';

/**
 * Queries the workers of the backend. vLLM has no route for this, so they send their descriptions to an inbox.
 *
 * @throws As {@link findVllmReceiver}.
 */
export async function askBackend(
  options: Pick<EngineHttpOptions, 'endpoints' | 'apiKey' | 'logger'>,
  { inbox, ...wait }: DescribeOptions,
): Promise<Pick<VllmReceiver, 'described' | 'unreported'>> {
  if (inbox === undefined)
    return { unreported: 'Run checkpoint-engine doctor: the backend has no route for this query' };
  const http = new EngineHttp({ name: 'vllm', hints: HINTS, ...options });
  const { path, body } = INIT_BACKEND;
  const asked = { init_info: { ...body.init_info, report_to: inbox.address } };
  const timeoutMs = Math.min(QUERY_TIMEOUT_MS, wait.timeoutMs);
  try {
    await http.call(options.endpoints[0]!, { method: 'POST', path, body: asked }, { ...wait, timeoutMs });
    return { described: [...inbox.reports], unreported: inbox.reports.length === 0 ? OLD_RECEIVER : undefined };
  } catch (error) {
    if (wait.signal.aborted || isRefused(error)) throw error;
    return { described: [...inbox.reports], unreported: unreportedHint(error) };
  }
}

function unreportedHint(error: unknown): string {
  const { message, detail } = toCheckpointEngineError(error);
  const text = `${message} ${detail ?? ''}`;
  if (/report_to/.test(text)) return OLD_RECEIVER;
  if (/CE_PEER_UNREACHABLE/.test(text)) {
    return 'Run this command where the workers of vLLM run, in the same network namespace: the backend sends its description there';
  }
  return `Its workers did not describe themselves: ${shownText(message, 300)}`;
}

/** vLLM's version of its initial weights. */
const FIRST_VERSION = 'default';

/**
 * Returns the version that vLLM itself keeps. Each update through the backend sets it to `unknown` before it writes.
 * Absent if this release keeps none.
 *
 * @throws As {@link findVllmReceiver}.
 */
export async function vllmVersion(
  options: Pick<EngineHttpOptions, 'endpoints' | 'apiKey' | 'logger'>,
  wait: EngineWait,
): Promise<string | undefined> {
  const http = new EngineHttp({ name: 'vllm', hints: HINTS, ...options });
  const timeoutMs = Math.min(QUERY_TIMEOUT_MS, wait.timeoutMs);
  try {
    const { text } = await http.call(
      options.endpoints[0]!,
      { method: 'GET', path: '/weight_info' },
      { ...wait, timeoutMs },
    );
    const version = readVersion(parseFields(text).weight_version);
    return version === FIRST_VERSION ? UNKNOWN_VERSION : version;
  } catch (error) {
    if (wait.signal.aborted || isRefused(error)) throw error;
    return undefined;
  }
}

/** Describes the detected receiver for the log. */
export function receptionText({ name, weights, keptDraft }: VllmReceiver): string {
  const draft = typeof keptDraft !== 'string' ? '' : `; its draft model ${shownText(keptDraft, 200)} keeps its weights`;
  const state = weights === 'unknown' ? '; its weights are unknown since an update that failed' : '';
  const texts = {
    v1: "vLLM receives weights through the Python tool's extension, protocol v1",
    extension: 'vLLM receives weights through the extension of checkpoint-engine-worker, protocol v2',
    backend: 'vLLM receives weights through the weight-transfer backend of checkpoint-engine-worker, protocol v2',
  };
  return texts[name] + state + draft;
}

/** Describes the detected receiver and its workers. */
export function describeVllm(receiver: VllmReceiver): EngineDescription {
  const { name, described = [], unreported } = receiver;
  const workers = described.map(readWorkerDescription);
  const hints = {
    v1: 'Install the Python package checkpoint-engine-worker into the environment of vLLM and start vLLM with its extension or backend, see docs/update-vllm.md: without it every worker receives the whole checkpoint in buckets',
    extension: pullHint(workers),
    backend: unreported ?? pullHint(workers),
  };
  return {
    receiver: name === 'v1' ? undefined : receiverName(described[0] ?? { package: 'checkpoint-engine-worker' }),
    summary: receptionText(receiver),
    hint: hints[name],
    workers,
  };
}

/** Returns what to do so that workers pull, or report more. */
function pullHint(workers: readonly WorkerDescription[]): string | undefined {
  if (workers.some(({ pull }) => pull === 'never')) {
    return 'Start vLLM without CHECKPOINT_ENGINE_PULL=0, and read in its log why its workers cannot pull';
  }
  return workers.some(({ pull }) => pull === 'unreported') ? OLD_RECEIVER : undefined;
}

/** Returns the workers' descriptions, if all of them have the extension. */
function extensionIn(reply: Readonly<Record<string, unknown>> | undefined): VllmReceiver | undefined {
  const results = Array.isArray(reply?.results) ? reply.results.map(fieldsOf) : [];
  const speak = results.every(({ protocols }) => Array.isArray(protocols) && protocols.includes(2));
  if (results.length === 0 || !speak) return undefined;
  const states = results.map(({ weights }) => weights);
  const unknown = states.includes('unknown') ? 'unknown' : states[0];
  const weights = typeof unknown === 'string' ? unknown : undefined;
  const cachesEncoder = results.some((result) => result.cachesEncoder === true);
  return { name: 'extension', weights, keptDraft: draftOf(results), cachesEncoder, described: results };
}
