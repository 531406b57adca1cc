import { CheckpointEngineError, type Needs, type PullIntent, type Store } from '@checkpoint-engine/interface';
import type { SurveyAnswer } from '../pull-channel.ts';
import type { WorkerSession } from '../session.ts';
import type { HostPlan } from '../update/host-plan.ts';
import type { Meeting } from '../update/meet.ts';
import type { ChosenMethod } from '../update/method.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { chooseMethod } from './choose-method.ts';
import { gatherNeeds } from './gather-needs.ts';
import { hostPlanOf } from './host-plan-of.ts';
import { exchangeOffers, type Offer } from './offer.ts';
import { unionOf } from './tensor-set.ts';

/** The agreement of the ranks, and its consequences for this one. */
export interface PullAgreement {
  readonly method: ChosenMethod;
  readonly offers: ReadonlyMap<number, Offer>;
  /** The needs of this rank's worker. */
  readonly answer: SurveyAnswer | undefined;
  /** Whether this rank's worker must compare what it holds with the checkpoint. */
  readonly isProvable: boolean;
  /** The set of tensors that some worker receives in buckets. */
  readonly rest: Uint8Array;
  /** Absent if everything arrives in buckets. */
  readonly host: HostAgreement | undefined;
}

/** The state that the ranks of one host share. */
export interface HostAgreement {
  /** The needs of the ranks of this host. */
  readonly scope: Store;
  readonly plan: HostPlan;
  /** The needs of their workers. */
  readonly needs: ReadonlyMap<number, Needs>;
}

/** Asks workers what they keep, and agrees with the other ranks on how they get it. */
export async function agreeOnPull(
  run: UpdateRun,
  meeting: Meeting,
  session: WorkerSession | undefined,
  intent: PullIntent,
): Promise<PullAgreement> {
  const { context, options, life, cleanup } = run;
  const { agreement, epoch, version } = meeting;
  const { pulls, host } = context;
  const list = tensorsByName(context.metas);
  const question = { intent, tensors: list.metas, metasDigest: list.digest, version: version.known };
  const offers = await exchangeOffers(
    run,
    meeting,
    async () => {
      return await session?.pull?.survey(question, { signal: life.signal });
    },
    intent,
  );
  const { byRank, answer } = offers;
  if (intent === 'prepare' && session !== undefined && answer === undefined) {
    // Otherwise the worker would wait for an update that never comes.
    throw new CheckpointEngineError(
      'CE_WORKER_PROTOCOL',
      'The worker cannot prepare: it does not pull, but receives buckets during an update',
      'Run the update as usual: it needs no preparation, and the checkpoint is unchanged',
      { rank: context.store.rank },
    );
  }
  const method = chooseMethod(options.method, byRank);
  const rest = unionOf(
    [...byRank.values()].map((offer) => offer.rest),
    list.metas.length,
  );
  const agreed = { method, offers: byRank, answer, isProvable: offers.isProvable, rest };
  if (method.name === 'buckets') return { ...agreed, host: undefined };
  const members = [...agreement.proposals].filter(([, proposal]) => proposal.host === host).map(([rank]) => rank);
  const scope = cleanup.use(epoch.epoch(`host:${members[0]}`, members));
  life.onFailure((failure) => scope.abort(failure));
  const needs = await gatherNeeds(run, scope, offers);
  const key = JSON.stringify([
    ...[context.metasDigest, context.isForeign, options.bucketBytes ?? null],
    members.map((rank) => [
      rank,
      byRank.get(rank)!.needsDigest,
      byRank.get(rank)!.provesParts,
      byRank.get(rank)!.handles.map(hex),
    ]),
    members.map((rank) => agreement.proposals.get(rank)!.nics),
  ]);
  const plan = pulls.plan(key, () =>
    hostPlanOf({ context, proposals: agreement.proposals, offers: byRank, needs, bucketBytes: options.bucketBytes }),
  );
  return { ...agreed, host: { scope, plan, needs } };
}

const hex = (handle: Uint8Array | null): string | null => handle && new TextDecoder().decode(handle);
