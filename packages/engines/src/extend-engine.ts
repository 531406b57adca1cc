import type { EngineClient } from './engine-client.ts';

/** An engine's client that can also be asked how its workers are spoken to, or what they decided. */
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
