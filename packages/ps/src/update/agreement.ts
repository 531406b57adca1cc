import { CheckpointEngineError, type Store, type WaitOptions } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import { exchange } from '../util/exchange.ts';

/** What each rank brings to an update. */
export interface Proposal {
  /** Updates that this rank has seen. */
  readonly counter: number;
  /** Broadcast groups that this rank has seen. */
  readonly groupGeneration: number;
  /** Whether the group of that generation is usable here. */
  readonly hasGroup: boolean;
  readonly metasDigest: string;
  readonly deviceUuid: string;
  readonly host: string;
  readonly freeBytes: number;
  /** The order of stages that an earlier update with this group found faster. */
  readonly measuredStages: 2 | 3 | null;
  /** Options that have to be equal. */
  readonly options: readonly (number | null)[];
}

/** What all ranks agreed on. */
export interface Agreement {
  /** Number of this update: larger than any that a member has seen. */
  readonly counter: number;
  readonly groupGeneration: number;
  /** All members can go on with the group that they have. */
  readonly keepsGroup: boolean;
  /** Least free device memory of the members. */
  readonly freeBytes: number;
  readonly members: readonly number[];
  readonly proposals: readonly Proposal[];
}

/**
 * Meets the other ranks for one update. Every rank draws the same conclusions from the same proposals.
 *
 * @throws `CE_PLAN_MISMATCH` Ranks hold different metas or were given different options.
 */
export async function agree(
  store: Store,
  checkpoint: string,
  propose: () => Proposal,
  options: WaitOptions,
): Promise<Agreement> {
  const replies = await exchange(store, `update:${checkpoint}`, () => encode(propose()), options);
  const proposals = replies.map((reply) => decode(reply) as Proposal);
  const first = proposals[0]!;
  for (const [index, proposal] of proposals.entries()) {
    checkSame(checkpoint, store.members[0]!, store.members[index]!, first, proposal);
  }
  const groupGeneration = Math.max(...proposals.map((proposal) => proposal.groupGeneration));
  const keepsGroup = proposals.every((proposal) => proposal.hasGroup && proposal.groupGeneration === groupGeneration);
  return {
    counter: Math.max(...proposals.map((proposal) => proposal.counter)) + 1,
    groupGeneration: keepsGroup ? groupGeneration : groupGeneration + 1,
    keepsGroup,
    freeBytes: Math.min(...proposals.map((proposal) => proposal.freeBytes)),
    members: store.members,
    proposals,
  };
}

function checkSame(checkpoint: string, firstRank: number, rank: number, first: Proposal, other: Proposal): void {
  if (other.metasDigest !== first.metasDigest) {
    throw new CheckpointEngineError(
      'CE_PLAN_MISMATCH',
      `Ranks ${firstRank} and ${rank} hold different metas of checkpoint "${checkpoint}"`,
      'Gather the metas again on all ranks before the update',
      { rank, retryable: false },
    );
  }
  if (other.options.join() !== first.options.join()) {
    throw new CheckpointEngineError(
      'CE_PLAN_MISMATCH',
      `Ranks ${firstRank} and ${rank} were given different options for the update of "${checkpoint}": [${first.options.join(', ')}] and [${other.options.join(', ')}]`,
      'Pass the same bucket size, device memory, inference parallel size, stages and release of communicators on all ranks',
      { rank },
    );
  }
}
