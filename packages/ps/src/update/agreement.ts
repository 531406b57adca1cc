import { CheckpointEngineError, type Store, type WaitOptions } from '@checkpoint-engine/interface';
import type { ReloadCost } from '@checkpoint-engine/planner';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { exchange } from '../util/exchange.ts';

/** Each rank's part of the agreement on an update. */
export interface Proposal {
  /** Number of the last update that this rank has seen. */
  readonly counter: number;
  /** Number of the last broadcast group that this rank has seen, of any ranks. */
  readonly generation: number;
  /** Number of the broadcast group that the update needs, if it is usable here; otherwise 0. */
  readonly groupGeneration: number;
  readonly metasDigest: string;
  readonly deviceUuid: string;
  readonly host: string;
  readonly nics: readonly string[];
  readonly freeBytes: number;
  /** The pace of its worker in earlier updates, if it had one. */
  readonly reload: ReloadCost | null;
  /** Whether all bytes that it holds are digested while they are read. */
  readonly digests: boolean;
  /** Files that it uses in place are being digested. */
  readonly digestsInPlace: boolean;
  /** Some of its digests are known only when the update has read their bytes. */
  readonly digestsReads: boolean;
  /** By name: options and circumstances that must be equal. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** The agreement of all ranks. */
export interface Agreement {
  /** Number of this update: larger than any that a member has seen. */
  readonly counter: number;
  /** Number of the broadcast group: the one that all of its members have, or a new one. */
  readonly groupGeneration: number;
  readonly proposals: ReadonlyMap<number, Proposal>;
}

/**
 * Meets the other ranks for one update. Every rank draws the same conclusions from the same proposals.
 *
 * @param propose Returns this rank's proposal, and the ranks that form the broadcast group.
 * @throws `CE_PLAN_MISMATCH` Ranks hold different metas or have different options.
 */
export async function agree(
  store: Store,
  checkpoint: string,
  propose: () => { proposal: Proposal; group: readonly number[] },
  options: WaitOptions,
): Promise<Agreement> {
  let group: readonly number[] = [];
  const replies = await exchange(
    store,
    `update:${checkpoint}`,
    () => {
      const own = propose();
      group = own.group;
      return encode(own.proposal);
    },
    options,
  );
  const proposals = new Map(store.members.map((rank, index) => [rank, decodeFromRank<Proposal>(replies[index]!)]));
  const all = [...proposals.values()];
  for (const [rank, proposal] of proposals) checkSame(checkpoint, store.members[0]!, rank, all[0]!, proposal);
  const generations = new Set(group.map((rank) => proposals.get(rank)!.groupGeneration));
  const [known = 0] = generations;
  return {
    counter: Math.max(...all.map(({ counter }) => counter)) + 1,
    groupGeneration: generations.size === 1 && known > 0 ? known : Math.max(...all.map((p) => p.generation)) + 1,
    proposals,
  };
}

function checkSame(checkpoint: string, firstRank: number, rank: number, first: Proposal, other: Proposal): void {
  if (other.metasDigest !== first.metasDigest) {
    throw new CheckpointEngineError(
      'CE_PLAN_MISMATCH',
      `Ranks ${firstRank} and ${rank} hold different metas of checkpoint "${checkpoint}"`,
      'Gather the metas again on all ranks before the update, or load the same metas on all ranks',
      { rank, retryable: false },
    );
  }
  const differing = Object.keys(first.options).filter(
    (name) => JSON.stringify(first.options[name]) !== JSON.stringify(other.options[name]),
  );
  if (differing.length > 0) {
    const values = (options: Proposal['options']): string =>
      differing.map((name) => JSON.stringify(options[name])).join();
    throw new CheckpointEngineError(
      'CE_PLAN_MISMATCH',
      `Ranks ${firstRank} and ${rank} have different options for the update of "${checkpoint}": ${differing.join(', ')} ${values(first.options)} and ${values(other.options)}`,
      'Pass the same options on all ranks, and the same transports to all servers',
      { rank },
    );
  }
}
