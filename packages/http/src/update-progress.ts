import { UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import type { UpdatePhase } from '@checkpoint-engine/ps';
import type { UpdateEvent, UpdateSummary } from './world.ts';

/** The progress of one rank. */
export interface RankProgress {
  readonly rank: number;
  stage: UpdatePhase | 'waiting';
  /** Whether its worker receives the buckets. Other ranks of the world only send, or serve reads. */
  receives: boolean;
  readBytes: number;
  h2dBytes: number;
  broadcastBytes: number;
  reloadBytes: number;
  pullBytes: number;
  /** Bytes that its worker will receive, reloaded and pulled. */
  wantedBytes: number;
  /** Bytes of the checkpoint that its worker keeps. */
  neededBytes: number;
  reloadedBuckets: number;
  /** From the first to the last bucket of each stage, in milliseconds since the epoch. */
  readonly spans: Map<string, { readonly fromMs: number; toMs: number }>;
}

/** An engine of an update. */
export interface EngineProgress {
  readonly groupIndex: number;
  readonly endpoint: string;
  acknowledged: boolean;
  /** Version that the engine held before; `unknown` if neither it nor the server knows. */
  weightVersionBefore: string;
}

/** The progress of an update, computed from the events of all ranks. */
export class UpdateProgress {
  totalBytes = 0;
  bucketCount = 0;
  /** The method that the ranks chose, and the reason for it. Absent before the ranks have agreed on it. */
  method: { readonly name: 'pull' | 'buckets'; readonly reason: string } | undefined;
  readonly ranks: Map<number, RankProgress> = new Map();
  /** Rises with every event. */
  version = 0;
  readonly #engines: Map<number, EngineProgress> = new Map();
  #streamStartMs: number | undefined;
  #lastMs = 0;

  /** The engines that were asked, by the index of their group. */
  get engines(): readonly EngineProgress[] {
    return [...this.#engines.values()].sort((a, b) => a.groupIndex - b.groupIndex);
  }

  /** @param heldBefore Version that an engine is known to hold, for events of that engine. */
  add(event: UpdateEvent, heldBefore: string = UNKNOWN_VERSION): void {
    this.version += 1;
    this.#lastMs = Math.max(this.#lastMs, event.atMs);
    switch (event.type) {
      case 'engine':
        this.#engines.set(event.groupIndex, {
          groupIndex: event.groupIndex,
          endpoint: event.endpoint,
          acknowledged: event.state === 'acknowledged',
          weightVersionBefore: this.#engines.get(event.groupIndex)?.weightVersionBefore ?? heldBefore,
        });
        return;
      case 'version': {
        // The workers' own version is more reliable than the recorded one.
        const engine = this.#engines.get(event.groupIndex);
        if (engine && event.before !== undefined) engine.weightVersionBefore = event.before;
        return;
      }
      case 'plan':
        this.totalBytes = event.totalBytes;
        this.bucketCount = event.bucketCount;
        this.method = { name: event.method, reason: event.methodReason };
        {
          const rank = this.#rank(event.rank);
          rank.neededBytes = event.neededBytes;
          rank.wantedBytes = event.stageBytes.reload + event.stageBytes.pull;
          rank.receives = rank.wantedBytes > 0;
        }
        return;
      case 'phase':
        this.#rank(event.rank).stage = event.phase;
        if (event.phase === 'stream') this.#streamStartMs ??= event.atMs;
        return;
      case 'bucket-start':
      case 'bucket-end': {
        const rank = this.#rank(event.rank);
        const span = rank.spans.get(event.stage) ?? { fromMs: event.atMs, toMs: event.atMs };
        span.toMs = Math.max(span.toMs, event.atMs);
        rank.spans.set(event.stage, span);
        if (event.type === 'bucket-start') return;
        rank[`${event.stage}Bytes`] += event.sizeBytes;
        if (event.stage === 'reload') rank.reloadedBuckets += 1;
      }
    }
  }

  /** Applies the final totals, for worlds that report no bucket events. */
  finish({ totalBytes, bucketCount }: UpdateSummary): void {
    this.version += 1;
    this.totalBytes = totalBytes;
    this.bucketCount = bucketCount;
  }

  /** Bytes of the slowest rank; for a rank that pulls, scaled from the bytes that it keeps to the checkpoint. */
  get doneBytes(): number {
    return this.#least(({ reloadBytes, pullBytes, wantedBytes }) =>
      pullBytes === 0 ? reloadBytes : Math.floor(((reloadBytes + pullBytes) / wantedBytes) * this.totalBytes),
    );
  }

  /** Value of the slowest rank. */
  get doneBuckets(): number {
    return this.#least(({ reloadedBuckets }) => reloadedBuckets);
  }

  /** The earliest stage of any rank. */
  get stage(): UpdatePhase | 'waiting' {
    const stages = [...this.ranks.values()].map(({ stage }) => ORDER.indexOf(stage));
    return ORDER[Math.min(...stages, stages.length === 0 ? 0 : ORDER.length - 1)] ?? 'waiting';
  }

  /** Bytes reloaded by the slowest rank since the first bucket, in 1e9 bytes per second. */
  get rateGBps(): number {
    const elapsedMs = this.#lastMs - (this.#streamStartMs ?? this.#lastMs);
    return elapsedMs > 0 ? this.doneBytes / elapsedMs / 1e6 : 0;
  }

  /** Values of the receiving ranks. */
  #least(of: (rank: RankProgress) => number): number {
    const receiving = [...this.ranks.values()].filter(({ receives }) => receives);
    return receiving.length === 0 ? 0 : Math.min(...receiving.map(of));
  }

  #rank(rank: number): RankProgress {
    let progress = this.ranks.get(rank);
    if (!progress) {
      progress = { rank, stage: 'waiting', receives: false, ...noBytes, reloadedBuckets: 0, spans: new Map() };
      this.ranks.set(rank, progress);
    }
    return progress;
  }
}

const noBytes = {
  ...{ readBytes: 0, h2dBytes: 0, broadcastBytes: 0, reloadBytes: 0, pullBytes: 0 },
  ...{ wantedBytes: 0, neededBytes: 0 },
};

const ORDER: readonly (UpdatePhase | 'waiting')[] = [
  'waiting',
  'plan',
  'handshake',
  'stream',
  'release',
  'hook',
  'done',
];
