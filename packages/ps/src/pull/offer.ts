import type { PullIntent } from '@checkpoint-engine/interface';
import { neededBytes } from '@checkpoint-engine/planner';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { SurveyAnswer } from '../pull-channel.ts';
import type { Meeting } from '../update/meet.ts';
import { type TensorList, tensorsByName } from '../update/tensor-list.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import { refusalOf } from './refusal.ts';
import { handleOf } from './region-handles.ts';
import { setOf } from './tensor-set.ts';

/** The information about a rank's worker and memory that the rank sends to the others. */
export interface Offer {
  /** The reason why its worker cannot pull; null if it can, and for ranks that receive nothing. */
  readonly refusal: string | null;
  readonly needsDigest: string | null;
  /** Tensors that its worker receives in buckets. */
  readonly rest: Uint8Array;
  /** Whether its worker compares these tensors after loading them, and accepts them in parts. */
  readonly provesParts: boolean;
  /** Whether its worker copies some bytes itself. */
  readonly pulls: boolean;
  readonly neededBytes: number;
  /** Digests of other workers' needs that it remembers. */
  readonly known: readonly string[];
  /** For each of its regions in the metas: how another process of the host opens it, if it can. */
  readonly handles: readonly (Uint8Array | null)[];
  /** Maximum host memory for its reads. */
  readonly hostMemoryBytes: number | null;
  /** Whether its memory is still being filled. */
  readonly isFilling: boolean;
}

/** The offers of all ranks, and the answer of this rank's own worker. */
export interface Offers {
  readonly byRank: ReadonlyMap<number, Offer>;
  readonly answer: SurveyAnswer | undefined;
  /** Whether this rank's worker must compare what it holds with the checkpoint. */
  readonly isProvable: boolean;
}

/** Asks this rank's worker what it needs, and exchanges the answers. */
export async function exchangeOffers(
  run: UpdateRun,
  { epoch, roles, version }: Meeting,
  survey: () => Promise<SurveyAnswer | undefined>,
  intent: PullIntent,
): Promise<Offers> {
  const { context, waiting } = run;
  const { store } = context;
  let answer: SurveyAnswer | undefined;
  let provable = false;
  const produce = async (): Promise<Uint8Array> => {
    const receives = roles.receivers.includes(store.rank);
    answer = receives ? await survey() : undefined;
    if (answer !== undefined) run.options.onNeeds?.(answer.needs, tensorsByName(context.metas).metas);
    provable = answer !== undefined && isProvable(answer, intent, version.known);
    return encode(makeOffer(run, answer, receives, provable));
  };
  const replies = await exchange(epoch, 'offers', produce, waiting);
  return {
    answer,
    isProvable: provable,
    byRank: new Map(epoch.members.map((rank, at) => [rank, decodeFromRank<Offer>(replies[at]!)])),
  };
}

/** Whether the worker has not compared yet, and its parameters hold the version to compare with. */
function isProvable({ proved, needs, holds }: SurveyAnswer, intent: PullIntent, version: string | undefined): boolean {
  if (proved || needs.rest.length === 0) return false;
  return intent === 'update' || (holds !== undefined && holds === version);
}

function makeOffer(
  { context }: UpdateRun,
  answer: SurveyAnswer | undefined,
  receives: boolean,
  provable: boolean,
): Offer {
  const { held, pulls, metas, store } = context;
  const list: TensorList = tensorsByName(metas);
  const silent = receives && answer === undefined;
  return {
    refusal: silent ? `The worker of rank ${store.rank} receives buckets only` : refusalOf(context, answer, list),
    needsDigest: answer?.needsDigest ?? null,
    rest: setOf(answer?.needs.rest ?? [], list.metas.length),
    provesParts: answer?.provesParts === true && provable,
    pulls: (answer?.needs.tensor.length ?? 0) > 0,
    neededBytes: answer === undefined ? 0 : neededBytes(answer.needs, list.sizesBytes),
    known: pulls.knownNeeds,
    handles: held?.regions.map(({ memory }) => handleOf(memory) ?? null) ?? [],
    hostMemoryBytes: held?.hostMemoryBytes ?? null,
    isFilling: held?.fill?.isLoaded === false,
  };
}
