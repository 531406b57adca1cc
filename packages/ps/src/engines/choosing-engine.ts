import type { EngineClient, EngineWait, WorkerChoice } from './engine-client.ts';

/** A client that also detects the protocol of the engine's workers, for engines whose request is the same for both. */
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
