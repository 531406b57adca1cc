import { readFileSync } from 'node:fs';
import { type ClusterTopology, presetTopology, simulate } from '@checkpoint-engine/simulate';
import { OWN_ROWS, type OwnRow, ownTensors } from './own-rows.ts';
import type { ValidatedRow } from './validated-row.ts';

const RESULTS = new URL('../../results/', import.meta.url);
/** Bytes of an ordinary bucket when the runs without an engine were made. */
const FORMER_BUCKET_BYTES = 96 * 2 ** 20;

interface MeasuredRow {
  readonly by: string;
  readonly what: string;
  readonly model?: string;
  readonly sizeBytes?: number;
  readonly samplesMs?: readonly number[];
}

/** A prediction of one of our own runs. */
export interface OwnValidation extends ValidatedRow {
  readonly row: OwnRow;
}

/** Predicts our own runs. Links have the rates that copies alone reached in the same run. */
export function validateOwn(): OwnValidation[] {
  return OWN_ROWS.map((row) => {
    const measured = (JSON.parse(readFileSync(new URL(`${row.file}.json`, RESULTS), 'utf8')) as { rows: MeasuredRow[] })
      .rows;
    const update = measured.find(
      ({ what, by, sizeBytes }) => what === row.what && by === row.by && sizeBytes !== undefined,
    )!;
    const { totalMs, bottleneck } = simulate({
      topology: topologyOf(row, measured),
      model: { title: row.model, tensors: ownTensors(row) },
      method: row.method,
      worldSize: row.gpus,
      layout: { tp: row.receiver === 'vLLM' ? row.gpus : 1, ep: 1, pp: 1, rules: [] },
      isFirstUpdate: row.isFirstUpdate,
      bucketBytes: row.receiver === 'vLLM' ? undefined : FORMER_BUCKET_BYTES,
    });
    return { row, label: labelOf(row), measuredMs: median(update.samplesMs!), predictedMs: totalMs, bottleneck };
  });
}

const labelOf = ({ model, gpus, method, what, receiver }: OwnRow): string =>
  `${receiver}, ${model}, ${gpus} GPU${gpus === 1 ? '' : 's'}, ${method}${what.includes('command') ? ', command' : ''}`;

function topologyOf({ gpus, receiver }: OwnRow, measured: readonly MeasuredRow[]): ClusterTopology {
  const base = presetTopology('h200');
  const floors = measured.filter(({ by, what }) => by.startsWith('floor') && !what.includes('roadcast'));
  /** GB/s of one GPU, when all GPUs of the run copy at once. */
  const together = Math.max(
    ...floors.filter(({ what }) => !what.includes('alone') || gpus === 1).map((one) => rateOf(one, gpus)),
  );
  const topology = {
    ...base,
    ...{ hosts: 1, gpusPerHost: gpus },
    gpu: { ...base.gpu, pcieGBps: gpus === 1 ? together : base.gpu.pcieGBps },
    host: { ...base.host, nics: 0, memoryGBps: gpus === 1 ? base.host.memoryGBps : together * gpus },
  };
  if (receiver === 'vLLM') return topology;
  // The worker alone collects garbage when an update ends. An update of one small tensor shows the time for that.
  const small = measured.find(({ model, by }) => model === 'one small tensor' && by === 'checkpoint-engine')!;
  const { meetMs, handshakeMs, releaseMs } = topology.costs;
  const hookMs = median(small.samplesMs!) - meetMs - handshakeMs - releaseMs;
  return { ...topology, costs: { ...topology.costs, hookMs, sliceMs: 0 } };
}

/** Some files have the bytes of one GPU, others those of all. */
function rateOf({ what, sizeBytes = 0, samplesMs = [] }: MeasuredRow, gpus: number): number {
  const isOfOne = what.startsWith('H2D');
  return sizeBytes / (isOfOne ? 1 : gpus) / median(samplesMs) / 1e6;
}

function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
