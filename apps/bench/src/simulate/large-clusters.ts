import { type ModelName, modelOf } from '@checkpoint-engine/model-tensors';
import type { ParallelLayout } from '@checkpoint-engine/planner';
import {
  type ClusterTopology,
  type MethodName,
  presetTopology,
  type SimulationResult,
  simulate,
} from '@checkpoint-engine/simulate';

const MODELS: readonly { readonly name: ModelName; readonly tp: number }[] = [
  { name: 'glm-4.5-air', tp: 8 },
  { name: 'qwen3-235b-a22b', tp: 8 },
  { name: 'deepseek-v3.1', tp: 16 },
  { name: 'kimi-k2', tp: 16 },
];
const METHODS: readonly MethodName[] = ['python-broadcast', 'broadcast', 'pull'];
/** World sizes of the chapter. */
export const WORLD_SIZES: readonly number[] = [256, 1024, 4096];

/** One simulation of the chapter. */
export interface LargeRun {
  readonly title: string;
  readonly method: MethodName;
  readonly gpus: number;
  readonly result: SimulationResult;
}

/** Every model by every method on every number of GPUs. */
export function largeRuns(): LargeRun[] {
  return MODELS.flatMap(({ name, tp }) =>
    METHODS.flatMap((method) =>
      WORLD_SIZES.map((gpus): LargeRun => {
        const layout = { tp, ep: 1, pp: 1, rules: [] };
        return {
          title: modelOf(name).title,
          method,
          gpus,
          result: runOf(name, method, gpus, layout, presetTopology('h200')),
        };
      }),
    ),
  );
}

function runOf(
  name: ModelName,
  method: MethodName,
  gpus: number,
  layout: ParallelLayout,
  topology: ClusterTopology,
): SimulationResult {
  const { title, tensors } = modelOf(name);
  const hosts = gpus / topology.gpusPerHost;
  return simulate({
    topology: { ...topology, hosts },
    model: { title, tensors: tensors() },
    method,
    worldSize: gpus,
    layout,
  });
}

/** A variant of the update of Kimi-K2 on 256 GPUs. */
export interface Variant {
  readonly label: string;
  readonly method: MethodName;
  readonly result: SimulationResult;
}

interface Change {
  readonly label: string;
  readonly method?: MethodName;
  readonly ep?: number;
  readonly tp?: number;
  readonly bucketBytes?: number;
  readonly host?: Partial<ClusterTopology['host']>;
  readonly gpu?: Partial<ClusterTopology['gpu']>;
  readonly costs?: Partial<ClusterTopology['costs']>;
}

const FAST_LOADER = { bucketMs: 0.5, bucketExpertsMs: 0, tensorMs: 0.01, sliceMs: 0 };
const CHANGES: readonly Change[] = [
  { label: 'pull, TP16: every host needs half of the model or more' },
  { label: 'pull, TP16, host memory of 800 GB/s', host: { memoryGBps: 800 } },
  { label: 'pull, TP16, host memory of 800 GB/s, NICs of 70 GB/s', host: { memoryGBps: 800, nicGBps: 70 } },
  { label: 'pull, TP8 and EP32: a host needs a quarter of the experts', tp: 8, ep: 32 },
  { label: 'pull, TP8 and EP256: a host needs one part in 32 of the experts', tp: 8, ep: 256 },
  { label: 'pull, TP8 and EP256, one NIC of 35 GB/s per host', tp: 8, ep: 256, host: { nics: 1 } },
  { label: 'broadcast', method: 'broadcast' },
  { label: 'broadcast, buckets of 1 GiB, 16 GiB of device memory', method: 'broadcast', bucketBytes: 2 ** 30 },
  {
    label: 'broadcast, the same, a loader of 10 us per tensor',
    method: 'broadcast',
    bucketBytes: 2 ** 30,
    costs: FAST_LOADER,
  },
  {
    label: 'broadcast, the same, NICs of 70 GB/s and NVLink of 700 GB/s',
    method: 'broadcast',
    bucketBytes: 2 ** 30,
    costs: FAST_LOADER,
    host: { nicGBps: 70 },
    gpu: { nvlinkGBps: 700 },
  },
];

/** Conditions under which a model of 10^12 parameters takes less than 3 s on 256 GPUs. */
export function variants(): Variant[] {
  return CHANGES.map(({ label, method = 'pull', tp = 16, ep = 1, bucketBytes, host, gpu, costs }) => {
    const base = presetTopology('h200');
    const { title, tensors } = modelOf('kimi-k2');
    const result = simulate({
      topology: {
        ...base,
        hosts: 32,
        gpu: { ...base.gpu, ...gpu },
        host: { ...base.host, ...host },
        costs: { ...base.costs, ...costs },
      },
      model: { title, tensors: tensors() },
      method,
      worldSize: 256,
      layout: { tp, ep, pp: 1, rules: [] },
      ...(bucketBytes === undefined ? {} : { bucketBytes, deviceMemoryBytes: 16 * 2 ** 30 }),
    });
    return { label, method, result };
  });
}
