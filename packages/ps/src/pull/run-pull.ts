import { type PullIntent, UNKNOWN_VERSION } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { UpdateResult } from '../api.ts';
import { confirmVersion } from '../update/confirm-version.ts';
import { expectWorker } from '../update/expect-worker.ts';
import { type Contact, callWorkers } from '../update/handshake.ts';
import { leaveGroup, type Meeting } from '../update/meet.ts';
import { emitPlan, summarise } from '../update/update-report.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { emitVersion } from '../update/weight-version.ts';
import { agreeOnPull, type PullAgreement } from './agree-on-pull.ts';
import { proveAll, pullAll } from './pull-all.ts';
import { pullReport, reportModules } from './pull-report.ts';
import { moveRest, restBuckets } from './rest-buckets.ts';
import { type SharedRings, shareRings } from './share-rings.ts';
import { askHeld, type HeldQuestion, prepareHeld, verifyHeld } from './verify-held.ts';

/** Number of buckets in flight while the number of buckets is unknown. */
const NOMINAL_SLOTS = 2;

/**
 * Runs an update for workers that may pull: they copy what they keep themselves, and the rest arrives in buckets. If
 * some worker cannot pull, everything arrives in buckets.
 *
 * @param intent `prepare` only maps and records what updates will need.
 */
export async function runPull(run: UpdateRun, meeting: Meeting, intent: PullIntent): Promise<UpdateResult> {
  const { context, options, watch, life, waiting } = run;
  const { rings, pulls, logger } = context;
  const { epoch, link, agreement } = meeting;
  watch.enter('handshake');
  const version = intent === 'update' ? meeting.version : undefined;
  const contact = await callWorkers(run, meeting, { slots: NOMINAL_SLOTS, ring: undefined }, version);
  const { session, request, inference } = contact;
  const channel = session?.pull;
  const agreeing = agreeOnPull(run, meeting, session, intent);
  if (session && inference.isHead) void expectWorker(run, request, agreeing);
  const pulling = await agreeing;
  const { method, answer, host } = pulling;
  let modules = answer?.summary && reportModules(run, answer.summary);
  // From here on, workers read this rank's memory.
  if (host !== undefined) life.onFailure(() => context.retirePools());
  const shared = host && (await shareRings(run, host));
  if (shared !== undefined && (pulling.isProvable || (answer?.needs.tensor.length ?? 0) > 0)) {
    await channel!.map(shared.layout, { signal: life.signal });
  }
  const buckets = intent === 'prepare' ? undefined : restBuckets(run, meeting, pulling);
  rings.begin(
    `${buckets?.run.context.metasDigest}:${options.bucketBytes}:${options.deviceMemoryBytes}:${options.ranks}`,
  );
  const report = pullReport(context, meeting, pulling);
  let keepBuffer: (() => void) | undefined;
  if (buckets === undefined) emitPlan(run, meeting, undefined, undefined, report);
  else keepBuffer = await moveRest(buckets, meeting, contact, report);
  const pulled = intent === 'update' ? await pullAndFinish(run, contact, pulling, shared) : NOTHING_PULLED;
  const proved = shared && (await proveAll(run, pulling, shared, channel));
  if (proved !== undefined) modules = reportModules(run, proved.summary);
  if (intent === 'update') await verifyHeld(run, meeting, pulling, channel, pulled.question);
  else prepareHeld(run, pulling);
  const change = intent === 'update' ? await confirmVersion(run, meeting, contact) : undefined;
  pulls.hold(channel?.bye(shared !== undefined));
  await untilAborted(request, life.signal);
  await epoch.barrier('done', waiting);
  if (inference.isHead && change !== undefined) emitVersion(run, change);
  if (options.releaseCommunicators === true) await leaveGroup(link, context);
  watch.enter('done');
  keepBuffer?.();
  shared?.keep();
  const { pulledBytes } = pulled;
  logger.debug({ rank: context.store.rank, method: method.name, pulledBytes }, method.reason);
  const versions = { weightVersion: meeting.version.known ?? UNKNOWN_VERSION, version: change };
  return summarise(context, agreement, buckets?.planned, meeting.moves, watch, {
    ...versions,
    ...report,
    pulledBytes,
    modules,
    verified: run.verifier.summary,
  });
}

/** The bytes that the worker of this rank copied itself. */
interface Pulled {
  readonly pulledBytes: number;
  /** Chosen while the workers copy. */
  readonly question: HeldQuestion | undefined;
}

const NOTHING_PULLED: Pulled = { pulledBytes: 0, question: undefined };

/** Lets this rank's worker copy what it keeps, and run its post-load hook. */
async function pullAndFinish(
  run: UpdateRun,
  { session, markLoaded }: Contact,
  pulling: PullAgreement,
  shared: SharedRings | undefined,
): Promise<Pulled> {
  const { watch, life } = run;
  let pulled = NOTHING_PULLED;
  if (shared !== undefined) {
    watch.enter('stream');
    const pullingAll = pullAll(run, pulling, shared, session?.pull);
    pullingAll.catch(() => {});
    // The workers copy meanwhile.
    const question = askHeld(run, pulling);
    pulled = { pulledBytes: await pullingAll, question };
  }
  watch.enter('release');
  await session?.finish({
    signal: life.signal,
    onPhase: (phase) => (phase === 'released' ? watch.enter('hook') : markLoaded()),
  });
  return pulled;
}
