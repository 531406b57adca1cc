import { checkTopology } from '../cluster/check-topology.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import type { BucketFigures } from '../methods/planned.ts';
import { fitWorker } from './fit-worker.ts';
import { readTrace, type TraceSpan } from './read-trace.ts';
import { busyMs, bytesOf, grouped, median } from './span-times.ts';

/** A field of the topology that a trace determines. */
export interface FittedField {
  /** `gpu.pcieGBps`. */
  readonly field: string;
  readonly value: number;
  readonly before: number;
  /** The part of the trace that determines the field. */
  readonly from: string;
}

/** Result of {@link calibrate}. */
export interface Calibration {
  readonly topology: ClusterTopology;
  readonly fields: readonly FittedField[];
  /** Time of the update in the trace, from its plan to its end; of the last one if there are several. */
  readonly measuredMs: number;
}

/** Input of {@link calibrate}. */
export interface CalibrateInput {
  /** The parsed JSON of the trace. */
  readonly trace: unknown;
  /** Fields that the trace does not determine keep the values of this topology. */
  readonly topology: ClusterTopology;
  /** Tensors of each bucket of the plan and the bytes of the bucket, to distinguish times of buckets and tensors. */
  readonly buckets?: readonly BucketFigures[] | undefined;
}

/**
 * Fits rates and costs of a topology to the trace of a real update.
 *
 * Phases determine the times of agreement, handshake and end; copies, pulls, broadcasts and reloads determine rates and
 * the times of a worker. Rates are those of all ranks at the same time.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` if the trace cannot be used.
 */
export function calibrate({ trace, topology, buckets }: CalibrateInput): Calibration {
  const spans = lastUpdate(readTrace(trace));
  const fields = [...phaseFields(spans, topology), ...rateFields(spans, topology, buckets)].filter(
    ({ value }) => Number.isFinite(value) && value >= 0,
  );
  const fitted = fields.map(({ field, value, from }) => ({ field, value, from, before: valueAt(topology, field) }));
  const phases = spans.filter(({ row }) => row === 'phases');
  const fromMs = Math.min(...phases.map((span) => span.fromMs));
  return {
    topology: fitted.reduce((result, { field, value }) => withValue(result, field, value), topology),
    fields: fitted,
    measuredMs: Math.max(...phases.map((span) => span.toMs)) - fromMs,
  };
}

type Fit = Omit<FittedField, 'before'>;

/** The spans of each rank since its last plan. */
function lastUpdate(spans: readonly TraceSpan[]): TraceSpan[] {
  const starts = new Map<number, number>();
  for (const { rank, row, name, fromMs } of spans) {
    if (row === 'phases' && name === 'plan') starts.set(rank, Math.max(starts.get(rank) ?? 0, fromMs));
  }
  return spans.filter(({ rank, row, fromMs }) => row === 'read' || fromMs >= (starts.get(rank) ?? 0));
}

function phaseFields(spans: readonly TraceSpan[], { costs }: ClusterTopology): Fit[] {
  const phases = spans.filter(({ row }) => row === 'phases');
  const ranks = new Set(phases.map(({ rank }) => rank)).size;
  const fit = (field: string, name: string, lessMs = 0): Fit[] => {
    const own = phases.filter((span) => span.name === name).map(({ fromMs, toMs }) => toMs - fromMs);
    if (own.length === 0) return [];
    return [
      {
        field: `costs.${field}`,
        value: Math.max(0, median(own) - lessMs),
        from: `phase ${name} of ${own.length} ranks`,
      },
    ];
  };
  return [
    ...fit('meetMs', 'plan', costs.meetRankMs * ranks),
    ...fit('handshakeMs', 'handshake'),
    ...fit('releaseMs', 'release'),
    ...fit('hookMs', 'hook'),
  ];
}

function rateFields(spans: readonly TraceSpan[], topology: ClusterTopology, buckets: CalibrateInput['buckets']): Fit[] {
  const of = (row: string): TraceSpan[] => spans.filter((span) => span.row === row && span.sizeBytes > 0);
  const [copies, pulls, reloads, reads] = [of('h2d'), of('pull'), of('reload'), of('read')];
  const fits: Fit[] = [];
  const perRank = (own: readonly TraceSpan[]): number =>
    median([...grouped(own, ({ rank }) => rank).values()].map((one) => bytesOf(one) / busyMs(one) / 1e6));
  const intoGpu = copies.length > 0 ? copies : pulls;
  if (intoGpu.length > 0) {
    fits.push({ field: 'gpu.pcieGBps', value: perRank(intoGpu), from: `${intoGpu.length} copies to the device` });
  }
  fits.push(...broadcastFields(spans, topology));
  if (reloads.length > 0) {
    const isSame = buckets !== undefined && isSamePlan(reloads, buckets);
    const { bucketMs, tensorMs, copyGBps } = fitWorker(
      reloads,
      isSame ? (bucket) => buckets[bucket]!.tensorCount : undefined,
    );
    const from = `${reloads.length} reloads`;
    fits.push({ field: 'costs.bucketMs', value: bucketMs, from }, { field: 'costs.tensorMs', value: tensorMs, from });
    fits.push({ field: 'costs.bucketExpertsMs', value: 0, from }, { field: 'costs.sliceMs', value: 0, from });
    if (copyGBps !== undefined) fits.push({ field: 'gpu.copyGBps', value: copyGBps, from });
  }
  if (reads.length > 0) {
    fits.push({
      field: 'host.fileGBps',
      value: bytesOf(reads) / busyMs(reads) / 1e6,
      from: `reads of ${reads.length} ranks`,
    });
  }
  return fits;
}

/**
 * A broadcast starts when the bytes are at their root, all ranks take part and the previous one has ended. If its
 * time does not grow with the bytes, ranks share memory, and it is a constant.
 */
function broadcastFields(spans: readonly TraceSpan[], { device }: ClusterTopology): Fit[] {
  const loaded = new Map(
    spans.filter(({ row }) => row === 'h2d' || row === 'read').map(({ name, toMs }) => [name, toMs]),
  );
  const broadcasts = [
    ...grouped(
      spans.filter(({ row }) => row === 'broadcast'),
      ({ name }) => name,
    ),
  ];
  if (broadcasts.length === 0) return [];
  let endMs = Number.NEGATIVE_INFINITY;
  const works = broadcasts
    .map(([name, own]) => ({
      name,
      fromMs: Math.max(...own.map((span) => span.fromMs)),
      toMs: Math.max(...own.map((span) => span.toMs)),
      sizeBytes: own[0]!.sizeBytes,
    }))
    .sort((a, b) => a.toMs - b.toMs)
    .map(({ name, fromMs, toMs, sizeBytes }) => {
      const startMs = Math.max(fromMs, loaded.get(name) ?? 0, endMs);
      endMs = toMs;
      return { ms: Math.max(0, toMs - startMs), sizeBytes };
    });
  const from = `${works.length} broadcasts`;
  if (device === 'host') return [{ field: 'costs.broadcastMs', value: median(works.map(({ ms }) => ms)), from }];
  const rate =
    works.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / works.reduce((sum, { ms }) => sum + ms, 0) / 1e6;
  return [{ field: 'gpu.nvlinkGBps', value: rate, from }];
}

function isSamePlan(reloads: readonly TraceSpan[], buckets: NonNullable<CalibrateInput['buckets']>): boolean {
  return reloads.every(({ name, sizeBytes }) => buckets[Number(name)]?.sizeBytes === sizeBytes);
}

function valueAt(topology: ClusterTopology, field: string): number {
  const [section, name] = field.split('.') as ['gpu', 'pcieGBps'];
  return topology[section][name];
}

function withValue(topology: ClusterTopology, field: string, value: number): ClusterTopology {
  const [section, name] = field.split('.') as ['gpu', 'pcieGBps'];
  return checkTopology({ ...topology, [section]: { ...topology[section], [name]: value } });
}
