import type { EngineClient, EngineWait, WorkerChoice } from './engine-client.ts';

/** An engine's client that also finds out how the engine's workers are spoken to, where the request is the same. */
export function choosingEngine(
  client: EngineClient,
  choose: (wait: EngineWait) => Promise<WorkerChoice>,
): EngineClient {
  return {
    name: client.name,
    workers: client.workers,
    passes: client.passes,
    ready: (wait) => client.ready(wait),
    choose,
    preflight: async (update) => await client.preflight?.(update),
    update: (update) => client.update(update),
  };
}
