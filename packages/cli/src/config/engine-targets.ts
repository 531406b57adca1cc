import type { EngineName } from '@checkpoint-engine/engines';
import { configError } from './config-error.ts';
import type { EngineTargets, PauseMode } from './requests.ts';

/** Engines and the number of ranks that each spans. */
export type SizedEngineTargets = EngineTargets & { readonly parallelSize: number };

/** The flags that select engines. */
export interface EngineFlags {
  readonly engine: EngineName;
  readonly endpoint?: readonly string[];
  /** Unix sockets of engines. */
  readonly uds?: readonly string[];
  readonly inferenceParallelSize?: number;
  readonly pause?: PauseMode;
  readonly flushCache?: boolean;
}

/**
 * Returns the engines that the flags select, checked against the size of the world.
 *
 * @param udsFlag The name of the flag for Unix sockets.
 * @returns `undefined` if the flags select no engine.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`
 */
export function engineTargets(
  flags: EngineFlags,
  worldSize: number,
  udsFlag = '--uds',
): SizedEngineTargets | undefined {
  const { engine, endpoint: endpoints = [], uds = [] } = flags;
  const targetCount = Math.max(endpoints.length, uds.length);
  if (targetCount === 0) return undefined;
  const parallelSize = flags.inferenceParallelSize ?? defaultParallelSize(worldSize, targetCount);
  if (worldSize % parallelSize !== 0) {
    throw configError(
      `--inference-parallel-size ${parallelSize} does not divide the world size ${worldSize}`,
      'Set it to the number of ranks that one engine spans (its tensor parallel size times its pipeline parallel size)',
    );
  }
  const groupCount = worldSize / parallelSize;
  for (const [flag, values] of [
    ['--endpoint', endpoints],
    [udsFlag, uds],
  ] as const) {
    if (values.length > 1 && values.length !== groupCount) {
      throw configError(
        `${flag} is given ${values.length} times for ${groupCount} inference groups (world size ${worldSize} / --inference-parallel-size ${parallelSize})`,
        `Use ${flag} once for all groups, or once per group`,
      );
    }
  }
  return { engine, endpoints, uds, parallelSize, ...servingOptions(flags) };
}

/** The same as {@link engineTargets}, but requires an engine. */
export function neededEngineTargets(flags: EngineFlags, worldSize: number): SizedEngineTargets {
  const targets = engineTargets(flags, worldSize);
  if (targets) return targets;
  throw configError(
    'The address of the engine is missing: neither --endpoint nor --uds is given',
    'Add --endpoint http://HOST:PORT or --uds PATH',
  );
}

/**
 * Returns the options of the engine for the time of an update.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`: the engine does not support an option.
 */
export function servingOptions({
  engine,
  pause = 'off',
  flushCache = true,
}: EngineFlags): Pick<EngineTargets, 'pause' | 'flushCache'> {
  if (pause !== 'off' && engine !== 'vllm') {
    throw configError(
      `--pause ${pause} does not work with --engine ${engine}`,
      'Remove --pause and pause the engine yourself: only vLLM supports the option',
    );
  }
  if (!flushCache && engine !== 'vllm' && engine !== 'sglang') {
    throw configError(
      `--no-flush-cache does not work with --engine ${engine}`,
      'Remove it: only vLLM and SGLang support the option',
    );
  }
  return { ...(pause === 'off' ? {} : { pause }), ...(flushCache ? {} : { flushCache }) };
}

/** Several engines divide the ranks evenly. */
function defaultParallelSize(worldSize: number, targetCount: number): number {
  return worldSize % targetCount === 0 ? worldSize / targetCount : worldSize;
}
