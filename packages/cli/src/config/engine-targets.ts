import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { EngineName } from '@checkpoint-engine/ps/engines';
import type { EngineTargets, PauseMode } from './jobs.ts';

/** Engines that the ranks are shared out among. */
export type SizedEngineTargets = EngineTargets & { readonly parallelSize: number };

/** The flags that say where engines are. */
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
 * The engines that flags name, checked against the size of the world.
 *
 * @param udsFlag How the flag of `uds` is called.
 * @returns `undefined` where they name none.
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
    throw invalid(
      `--inference-parallel-size ${parallelSize} does not divide the world size ${worldSize}`,
      'Give the number of ranks that one engine spans (its tensor times pipeline parallel size)',
    );
  }
  const groupCount = worldSize / parallelSize;
  for (const [flag, values] of [
    ['--endpoint', endpoints],
    [udsFlag, uds],
  ] as const) {
    if (values.length > 1 && values.length !== groupCount) {
      throw invalid(
        `${flag} is given ${values.length} times for ${groupCount} inference groups (world size ${worldSize} / --inference-parallel-size ${parallelSize})`,
        `Give ${flag} once for all groups, or once for each`,
      );
    }
  }
  return { engine, endpoints, uds, parallelSize, ...servingOptions(flags) };
}

/** As {@link engineTargets}, where there have to be some. */
export function neededEngineTargets(flags: EngineFlags, worldSize: number): SizedEngineTargets {
  const targets = engineTargets(flags, worldSize);
  if (targets) return targets;
  throw invalid(
    'Neither --endpoint nor --uds says where the engine is',
    'Add --endpoint http://HOST:PORT or --uds PATH',
  );
}

/**
 * How the engine serves around an update.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`: the engine does not have the option.
 */
export function servingOptions({
  engine,
  pause = 'off',
  flushCache = true,
}: EngineFlags): Pick<EngineTargets, 'pause' | 'flushCache'> {
  if (pause !== 'off' && engine !== 'vllm') {
    throw invalid(
      `--pause ${pause} is given with --engine ${engine}`,
      'Pause the engine yourself: only vLLM is paused',
    );
  }
  if (!flushCache && engine !== 'vllm' && engine !== 'sglang') {
    throw invalid(`--no-flush-cache is given with --engine ${engine}`, 'Leave it out: vLLM and SGLang have the option');
  }
  return { ...(pause === 'off' ? {} : { pause }), ...(flushCache ? {} : { flushCache }) };
}

/** Several targets share the ranks evenly. */
function defaultParallelSize(worldSize: number, targetCount: number): number {
  return worldSize % targetCount === 0 ? worldSize / targetCount : worldSize;
}

function invalid(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint);
}
