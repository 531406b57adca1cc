import type { EngineAdapter } from './adapter.ts';
import type { EngineClient, EngineOptions } from './engine-client.ts';
import { httpEngine } from './http-engine.ts';

/** An engine with the package `@checkpoint-engine/worker`, which serves its routes. */
export function workerEngine(options: EngineOptions): EngineClient {
  return httpEngine(worker, options);
}

const worker: EngineAdapter = {
  name: 'worker',
  workers: 'v2',
  readyPath: '/healthz',
  update: { path: '/update', body: ({ handles }) => ({ handles }), failureIn: () => undefined },
  hints: {
    missing: 'Check that the address is that of a @checkpoint-engine/worker server',
    failed: "Read detail, which has the answer, and the worker's log",
    slow: "Check the worker's log for where it hangs; raise the time-out if it is only slow",
  },
};
