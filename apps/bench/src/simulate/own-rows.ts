import type { TensorSpec } from '@checkpoint-engine/meta';
import { modelOf, qwen3Moe30b } from '@checkpoint-engine/model-tensors';
import type { MethodName } from '@checkpoint-engine/simulate';

/** A measured update of the results. */
export interface OwnRow {
  /** The file in `results`, without extension. */
  readonly file: string;
  /** `what` and `by` of its row. */
  readonly what: string;
  readonly by: string;
  readonly model: 'qwen3-8b' | 'qwen3-30b-a3b of 12 layers';
  readonly gpus: number;
  readonly method: MethodName;
  readonly isFirstUpdate: boolean;
  /** The receiver: vLLM, or the worker of the Python tool without an engine. */
  readonly receiver: 'vLLM' | 'worker alone';
}

const OURS = 'checkpoint-engine';
const PYTHON = 'Python tool, as shipped';
const DENSE = 'qwen3-8b';
const EXPERTS = 'qwen3-30b-a3b of 12 layers';

const WAYS: readonly (readonly [what: string, by: string, method: MethodName])[] = [
  ['update, command, files read before', OURS, 'broadcast'],
  ['update, serve', OURS, 'broadcast'],
  ['update, serve', OURS, 'pull'],
  ['update, later', PYTHON, 'python-broadcast'],
];

function onEngine(model: OwnRow['model'], gpus: number): OwnRow[] {
  const machine = gpus === 1 ? 'h200' : `${gpus}xh200`;
  const name = model === DENSE ? 'qwen3' : 'qwen3-moe';
  return WAYS.map(([what, by, method]): OwnRow => {
    const receiver = model === DENSE && gpus > 1 ? '-receiver-20' : '-receiver';
    const date = method === 'pull' && model === EXPERTS && gpus > 1 ? '2026-11-28' : '2026-11-27';
    const file = `${date}-${machine}-engine-${name}-tp${gpus}${method === 'pull' ? receiver : ''}`;
    return { file, what, by, model, gpus, method, isFirstUpdate: what.includes('command'), receiver: 'vLLM' };
  });
}

const alone = (file: string, gpus: number): OwnRow => ({
  ...{ file, what: 'update', by: OURS, model: DENSE, gpus, method: 'broadcast' },
  ...{ isFirstUpdate: false, receiver: 'worker alone' },
});

/** Our updates on 1, 2 and 4 GPUs, and those of the Python tool in the same runs. */
export const OWN_ROWS: readonly OwnRow[] = [
  ...onEngine(DENSE, 1),
  ...onEngine(DENSE, 4),
  ...onEngine(EXPERTS, 1),
  ...onEngine(EXPERTS, 4),
  alone('2026-11-26-2xh100-table', 1),
  alone('2026-11-26-2xh100-multi-2', 2),
  alone('2026-11-26-4xh200-multi-4', 4),
];

/** Tensors of a row's model. */
export function ownTensors({ model }: Pick<OwnRow, 'model'>): TensorSpec[] {
  return model === DENSE ? modelOf(DENSE).tensors() : qwen3Moe30b(12);
}
