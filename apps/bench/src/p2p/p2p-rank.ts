import type { RdmaOptions } from '@checkpoint-engine/transport-rdma';
import type { LoopPauses } from '../report/loop-watch.ts';
import type { RankIdentity } from '../world/open-rank.ts';

/** Which rank a process is, and how peers reach it. */
export interface P2PRankTask extends Omit<RankIdentity, 'engine'> {
  /** On the host device: which of its indices. @default the rank */
  readonly hostIndex?: number | undefined;
  /** Absent where the rank updates nobody. */
  readonly engine?: RankIdentity['engine'] | undefined;
  readonly p2p: RdmaOptions;
  readonly nics: readonly string[];
}

/** What a rank process holds and how it does. */
export interface P2PUsage extends LoopPauses {
  readonly openFiles: number;
  readonly residentBytes: number;
  /** Transfer engines that it has started and that still run. */
  readonly engineProcesses: number;
}

/** How one update went. */
export interface P2PUpdateFigures {
  readonly totalMs: number;
  readonly streamMs: number;
  /** Longest time in which the worker took no bucket, between its first and its last. */
  readonly longestGapMs: number;
}

/** What such a process can be asked for. */
export interface P2PRankCalls {
  register(files: readonly string[]): Promise<{ readonly sizeBytes: number }>;
  /** Metas of its world, in base64. */
  gather(args: null): Promise<string>;
  load(metas: string): Promise<null>;
  update(bucketBytes: number | null): Promise<P2PUpdateFigures>;
  /** Since it was asked last. */
  usage(args: null): Promise<P2PUsage>;
}
