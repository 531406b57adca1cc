import type { TensorSpec } from '@checkpoint-engine/meta';
import { type ModelName, modelOf } from '@checkpoint-engine/model-tensors';
import { type ClusterTopology, type PreparedSimulation, prepare, presetTopology } from '@checkpoint-engine/simulate';
import { PUBLISHED_ROWS, type PublishedRow } from './published-rows.ts';
import { errorOf, isNear, type ValidatedRow } from './validated-row.ts';

/** The row that the time per tensor is fitted to. */
export const FITTED: Pick<PublishedRow, 'table' | 'model' | 'gpus' | 'method'> = {
  table: 'current',
  model: 'deepseek-v3.1',
  gpus: 16,
  method: 'python-p2p',
};

/** Free memory of the published runs is not known; it only has to hold their buckets. */
const FREE_GB = 60;

interface PreparedRow {
  readonly row: PublishedRow;
  readonly topology: ClusterTopology;
  readonly prepared: PreparedSimulation;
}

/** Result of {@link validatePublished}. */
export interface PublishedValidation {
  readonly fitted: PublishedRow;
  /** Time that a worker needs per tensor, as fitted. */
  readonly tensorMs: number;
  readonly rows: readonly (ValidatedRow & { readonly row: PublishedRow })[];
  /**
   * For each other row that the time could be fitted to: the time, the rows within the allowed error, the worst error.
   */
  readonly alternatives: readonly FitAlternative[];
}

/** The table with another row fitted. */
export interface FitAlternative {
  readonly label: string;
  readonly tensorMs: number;
  readonly near: number;
  readonly worstError: number;
}

/**
 * Predicts the published rows. Rates and costs are those of the presets for all rows; only the time per tensor is
 * fitted, to one row.
 */
export function validatePublished(withAlternatives: boolean): PublishedValidation {
  const tensorsOf = tensorLists();
  const all = PUBLISHED_ROWS.map((row) => prepareRow(row, tensorsOf));
  const target = all.find(({ row }) => isFitted(row))!;
  const tensorMs = fitTensorMs(target);
  return {
    fitted: target.row,
    tensorMs,
    rows: predictAll(all, tensorMs),
    alternatives: withAlternatives ? all.flatMap((one) => alternative(one, all)) : [],
  };
}

export const labelOf = ({ table, model, gpu, gpus, method }: PublishedRow): string =>
  `${table}: ${modelOf(model).title}, ${gpus} x ${gpu.toUpperCase()}, ${method}`;

const isFitted = ({ table, model, gpus, method }: PublishedRow): boolean =>
  table === FITTED.table && model === FITTED.model && gpus === FITTED.gpus && method === FITTED.method;

type TensorsOf = (model: ModelName) => readonly TensorSpec[];

/** Makes the list of each model once. */
function tensorLists(): TensorsOf {
  const lists = new Map<ModelName, readonly TensorSpec[]>();
  return (model) => {
    const list = lists.get(model) ?? modelOf(model).tensors();
    lists.set(model, list);
    return list;
  };
}

function prepareRow(row: PublishedRow, tensorsOf: TensorsOf): PreparedRow {
  const base = presetTopology(row.gpu);
  const topology = { ...base, hosts: row.gpus / base.gpusPerHost, gpu: { ...base.gpu, freeGB: FREE_GB } };
  const prepared = prepare({
    topology,
    model: { title: modelOf(row.model).title, tensors: tensorsOf(row.model) },
    method: row.method,
    worldSize: row.gpus,
    layout: { tp: row.tp, ep: 1, pp: 1, rules: [] },
    bucketBytes: row.bucketBytes,
    receivers: row.method === 'python-broadcast' ? undefined : Math.min(16, row.gpus),
  });
  return { row, topology, prepared };
}

const run = ({ topology, prepared }: PreparedRow, tensorMs: number) =>
  prepared.run({ ...topology, costs: { ...topology.costs, tensorMs, sliceMs: 0 } });

/** Bisection: a longer time per tensor never makes an update shorter. */
function fitTensorMs(prepared: PreparedRow): number {
  let [low, high] = [0, 1];
  for (let step = 0; step < 24; step++) {
    const middle = (low + high) / 2;
    if (run(prepared, middle).totalMs < prepared.row.measuredMs) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function predictAll(all: readonly PreparedRow[], tensorMs: number): PublishedValidation['rows'] {
  return all.map((one) => {
    const { totalMs, bottleneck } = run(one, tensorMs);
    return { row: one.row, label: labelOf(one.row), measuredMs: one.row.measuredMs, predictedMs: totalMs, bottleneck };
  });
}

/** Rows of the first P2P wait for one NIC, so the time per tensor cannot be fitted to them. */
function alternative(one: PreparedRow, all: readonly PreparedRow[]): FitAlternative[] {
  if (one.row.method === 'python-p2p-first') return [];
  const tensorMs = fitTensorMs(one);
  const rows = predictAll(all, tensorMs);
  const worst = rows.toSorted((a, b) => Math.abs(errorOf(b)) - Math.abs(errorOf(a)))[0]!;
  return [{ label: labelOf(one.row), tensorMs, near: rows.filter(isNear).length, worstError: errorOf(worst) }];
}
