import { silentLogger } from '@checkpoint-engine/interface';
import type { EngineAdapter } from './adapter.ts';
import type { EngineClient, EngineOptions, EngineWait } from './engine-client.ts';
import { type EngineDescription, readWorkerDescription, receiverName } from './engine-description.ts';
import { EngineHttp, isMissing } from './engine-http.ts';
import { extendEngine } from './extend-engine.ts';
import { httpEngine } from './http-engine.ts';
import { onAll } from './on-all.ts';
import { parseFields } from './replies.ts';

const QUERY_TIMEOUT_MS = 10_000;

/** An engine with the package `@checkpoint-engine/worker`, which serves its routes. */
export function workerEngine(options: EngineOptions): EngineClient {
  return extendEngine(httpEngine(worker, options), { describe: (wait) => describeWorkers(options, wait) });
}

const worker: EngineAdapter = {
  name: 'worker',
  workers: 'v2',
  readyPath: '/healthz',
  update: { path: '/update', body: ({ handles }) => ({ handles }), failureIn: () => undefined },
  hints: {
    missing: 'Check that the address is that of a @checkpoint-engine/worker server',
    failed: "Read detail, which has the answer, and the worker's log",
    slow: "Check the worker's log; raise the time-out if the worker is only slow",
  },
};

async function describeWorkers(
  { endpoints, apiKey, logger = silentLogger }: EngineOptions,
  { signal, timeoutMs }: EngineWait,
): Promise<EngineDescription> {
  const http = new EngineHttp({ name: worker.name, hints: worker.hints, endpoints, apiKey, logger });
  const described = await onAll(endpoints, signal, async (endpoint, stop) => {
    try {
      const wait = { signal: stop, timeoutMs: Math.min(QUERY_TIMEOUT_MS, timeoutMs) };
      return parseFields((await http.call(endpoint, { method: 'GET', path: '/describe' }, wait)).text);
    } catch (error) {
      if (isMissing(error)) return {};
      throw error;
    }
  });
  const workers = described.flatMap((fields) => (Array.isArray(fields.workers) ? fields.workers : []));
  return {
    receiver: receiverName({ package: '@checkpoint-engine/worker' }),
    summary: 'The engine receives weights through @checkpoint-engine/worker, protocol v2',
    hint: hintFor(workers.map(readWorkerDescription)),
    workers: workers.map(readWorkerDescription),
  };
}

function hintFor(workers: EngineDescription['workers']): string | undefined {
  if (workers.length === 0)
    return 'Update @checkpoint-engine/worker: this release does not report how it receives weights';
  if (!workers.some(({ pull }) => pull === 'never')) return undefined;
  return 'Pass `pullerOf` to serveWorker, so that the engine reports which bytes it keeps';
}
