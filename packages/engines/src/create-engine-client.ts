import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { EngineClient, EngineOptions } from './engine-client.ts';
import { lmdeployEngine } from './lmdeploy.ts';
import { sglangEngine } from './sglang.ts';
import { type VllmOptions, vllmEngine } from './vllm.ts';
import { workerEngine } from './worker.ts';

/** The names of engines on the command line. */
export type EngineName = 'vllm' | 'sglang' | 'lmdeploy' | 'worker';

/** Options of {@link createEngineClient}: the union of the options of all engines. Each engine uses its own. */
export interface NamedEngineOptions extends EngineOptions {
  readonly pause?: VllmOptions['pause'];
  readonly flushCache?: boolean | undefined;
}

const FACTORIES: Readonly<Record<EngineName, (options: NamedEngineOptions) => EngineClient>> = {
  vllm: vllmEngine,
  sglang: sglangEngine,
  lmdeploy: lmdeployEngine,
  worker: workerEngine,
};

/** The names of {@link EngineName}. */
export const ENGINE_NAMES: readonly EngineName[] = Object.keys(FACTORIES) as EngineName[];

/**
 * Creates the client of an engine by name, with its other options at their defaults.
 *
 * @throws `CE_CONFIG_INVALID` for an unknown name, an endpoint that is not a URL, an API key that no header can carry.
 */
export function createEngineClient(name: string, options: NamedEngineOptions): EngineClient {
  const known = ENGINE_NAMES.find((engine) => engine === name);
  if (known !== undefined) return FACTORIES[known](options);
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `Unknown engine "${name}"`,
    `Choose one of ${ENGINE_NAMES.join(', ')}`,
  );
}
