import type { EngineClient, EngineOptions } from './engine-client.ts';
import { HttpEngine } from './http-engine.ts';

/** An engine that is built with the package `@checkpoint-engine/worker` and serves its routes. */
export function workerEngine(options: EngineOptions): EngineClient {
  return new HttpEngine(
    {
      name: 'worker',
      readyPath: '/healthz',
      updatePath: '/update',
      body: ({ handles }) => ({ handles }),
      failureIn: () => undefined,
      hints: {
        missing: 'Check that the address is that of a @checkpoint-engine/worker server',
        failed: "Read the answer in detail and the worker's log",
        slow: "Look at the worker's log for where it hangs; raise the time-out if it is only slow",
      },
    },
    options,
  );
}
