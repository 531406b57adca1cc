import type { EngineClient } from './engine-client.ts';

/** Adds detection of the workers' protocol, or a description of the workers, to an engine's client. */
export function extendEngine(client: EngineClient, asked: Pick<EngineClient, 'choose' | 'describe'>): EngineClient {
  return {
    name: client.name,
    workers: client.workers,
    passes: client.passes,
    ready: (wait) => client.ready(wait),
    preflight: async (update) => await client.preflight?.(update),
    update: (update) => client.update(update),
    forgetVersion: async () => await client.forgetVersion?.(),
    ...asked,
  };
}
