import type { DrivenProcess } from '../world/driven-process.ts';
import type { RankIdentity } from '../world/open-rank.ts';

/** What the parent passes as the only argument, in JSON. */
export interface KillRankTask extends RankIdentity {
  readonly files: readonly string[];
  readonly bucketBytes: number;
}

/** What a rank of the kill test does when it is told to. */
export interface KillRankCalls {
  register(args: null): Promise<void>;
  gather(args: null): Promise<void>;
  update(args: { readonly dieAtBroadcast?: number; readonly releaseCommunicators?: boolean }): Promise<void>;
  /** Of its device, whoever uses it. */
  usedBytes(args: null): Promise<number>;
}

/** A rank of the kill test, in a process of its own. */
export type KillRank = DrivenProcess<KillRankCalls>;
