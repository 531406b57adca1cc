import type { ModelName } from '@checkpoint-engine/model-tensors';
import type { MethodName } from '@checkpoint-engine/simulate';

const GIB = 2 ** 30;

/** One row of a table in the README of the Python tool, for one method. */
export interface PublishedRow {
  readonly table: 'first' | 'current';
  readonly model: ModelName;
  readonly gpu: 'h800' | 'h20';
  readonly gpus: number;
  readonly tp: number;
  readonly method: MethodName;
  readonly bucketBytes: number;
  /** Published, in milliseconds. */
  readonly measuredMs: number;
}

type Cell = readonly [seconds: number, bucketGiB: number];

const rows = (
  table: PublishedRow['table'],
  model: ModelName,
  gpu: PublishedRow['gpu'],
  gpus: number,
  broadcast: Cell,
  p2p: Cell,
): PublishedRow[] => {
  const shared = { table, model, gpu, gpus, tp: Math.min(gpus, gpu === 'h800' ? 8 : 16) };
  const p2pMethod = table === 'first' ? 'python-p2p-first' : 'python-p2p';
  return [
    { ...shared, method: 'python-broadcast', measuredMs: broadcast[0] * 1000, bucketBytes: broadcast[1] * GIB },
    { ...shared, method: p2pMethod, measuredMs: p2p[0] * 1000, bucketBytes: p2p[1] * GIB },
  ];
};

/**
 * The tables of the README of the Python tool: as first published (2025-09-10), and as of 2025-10-29 and later.
 *
 * @source https://github.com/MoonshotAI/checkpoint-engine/blob/f29b2e1/README.md
 * @source https://github.com/MoonshotAI/checkpoint-engine/blob/59a3c4f/README.md
 */
export const PUBLISHED_ROWS: readonly PublishedRow[] = [
  ...rows('current', 'glm-4.5-air', 'h800', 8, [3.47, 3.02], [4.12, 3.02]),
  ...rows('current', 'qwen3-235b-a22b', 'h800', 8, [6.22, 2.67], [7.1, 2.68]),
  ...rows('current', 'deepseek-v3.1', 'h20', 16, [10.19, 5.39], [11.8, 5.41]),
  ...rows('current', 'kimi-k2', 'h20', 16, [14.36, 5.89], [17.49, 5.91]),
  ...rows('current', 'deepseek-v3.1', 'h20', 256, [11.33, 8], [11.81, 8]),
  ...rows('current', 'kimi-k2', 'h20', 256, [16.04, 8], [16.75, 8]),
  ...rows('first', 'glm-4.5-air', 'h800', 8, [3.94, 1.42], [8.83, 4.77]),
  ...rows('first', 'qwen3-235b-a22b', 'h800', 8, [6.75, 2.69], [16.47, 4.05]),
  ...rows('first', 'deepseek-v3.1', 'h20', 16, [12.22, 2.38], [25.77, 3.61]),
  ...rows('first', 'kimi-k2', 'h20', 16, [15.45, 2.93], [36.24, 4.46]),
  ...rows('first', 'deepseek-v3.1', 'h20', 256, [13.88, 2.54], [33.3, 3.86]),
  ...rows('first', 'kimi-k2', 'h20', 256, [21.5, 2.99], [34.49, 4.57]),
];
