import {
  type ModuleReport,
  moduleReport,
  moduleReportText,
  type NeedsSummary,
  type PullIntent,
} from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { boxBytes } from '@checkpoint-engine/planner';
import type { UpdateResult } from '../api.ts';
import { confirmVersion } from '../update/confirm-version.ts';
import { expectWorker } from '../update/expect-worker.ts';
import { callWorkers, takeMemory } from '../update/handshake.ts';
import { leaveGroup, type Meeting } from '../update/meet.ts';
import { movePass, openSourcesOf } from '../update/move-buckets.ts';
import { type PlannedUpdate, planUpdate } from '../update/plan-update.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import { emitPlan, summarise, wholeBuckets } from '../update/update-report.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { emitVersion } from '../update/weight-version.ts';
import { agreeOnPull, type PullAgreement } from './agree-on-pull.ts';
import { proveAll, pullAll } from './pull-all.ts';
import { type SharedRings, shareRings } from './share-rings.ts';
import { has, isEmpty, metasOf } from './tensor-set.ts';
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
  const { session, request, inference, markLoaded } = contact;
  const channel = session?.pull;
  const agreeing = agreeOnPull(run, meeting, session, intent);
  if (session && inference.isHead) void expectWorker(run, request, agreeing);
  const pulling = await agreeing;
  const { strategy, answer, host } = pulling;
  let modules = answer?.summary && reportModules(run, answer.summary);
  // From here on, workers read memory of this rank.
  if (host !== undefined) life.onFailure(() => context.retirePools());
  const shared = host && (await shareRings(run, host));
  if (shared !== undefined && (pulling.isProvable || (answer?.needs.tensor.length ?? 0) > 0)) {
    await channel!.map(shared.layout, { signal: life.signal });
  }
  const buckets = intent === 'prepare' ? undefined : bucketsOf(run, meeting, pulling);
  rings.begin(
    `${buckets?.run.context.metasDigest}:${options.bucketBytes}:${options.deviceMemoryBytes}:${options.ranks}`,
  );
  let keepBuffer: (() => void) | undefined;
  const report = {
    // A worker that says nothing takes everything.
    ...wholeBuckets(context, meeting, strategy),
    ...(answer === undefined ? {} : { neededBytes: pulling.offers.get(context.store.rank)!.neededBytes }),
    pullBytes: pullBytesOf(pulling),
    readBytes: readBytesOf(context.store.rank, shared, pulling),
  };
  if (buckets === undefined) emitPlan(run, meeting, undefined, undefined, report);
  else keepBuffer = await moveBuckets(buckets, meeting, contact, report);
  let pulledBytes = 0;
  let question: HeldQuestion | undefined;
  if (shared !== undefined && intent === 'update') {
    watch.enter('stream');
    const pullingAll = pullAll(run, pulling, shared, channel);
    pullingAll.catch(() => {});
    // The workers copy meanwhile.
    question = askHeld(run, pulling);
    pulledBytes = await pullingAll;
  }
  if (intent === 'update') {
    watch.enter('release');
    await session?.finish({
      signal: life.signal,
      onPhase: (phase) => (phase === 'released' ? watch.enter('hook') : markLoaded()),
    });
  }
  const proved = shared && (await proveAll(run, pulling, shared, channel));
  if (proved !== undefined) modules = reportModules(run, proved.summary);
  if (intent === 'update') await verifyHeld(run, meeting, pulling, channel, question);
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
  logger.debug({ rank: context.store.rank, strategy: strategy.name, pulledBytes }, strategy.reason);
  const versions = { weightVersion: meeting.version, version: change };
  return summarise(context, agreement, buckets?.planned, meeting.moves, watch, {
    ...versions,
    ...report,
    pulledBytes,
    modules,
    verified: run.verifier.summary,
  });
}

interface Buckets {
  /** Its context has only the tensors that arrive in buckets. */
  readonly run: UpdateRun;
  readonly planned: PlannedUpdate;
  /** Tensors to announce to this rank's worker. @default all */
  readonly only: ReadonlySet<string> | undefined;
}

/** The tensors that arrive in buckets: all, those that some worker does not copy itself, or none. */
function bucketsOf(run: UpdateRun, { roles, agreement }: Meeting, pulling: PullAgreement): Buckets | undefined {
  const { context, options } = run;
  const isWhole = pulling.strategy.name === 'buckets';
  if (!isWhole && isEmpty(pulling.rest)) return undefined;
  const metas = isWhole ? context.metas : metasOf(context.metas, pulling.rest);
  const rest = new TextDecoder('latin1').decode(pulling.rest);
  const metasDigest = metas === context.metas ? context.metasDigest : `${context.metasDigest}:${rest}`;
  const narrowed = { ...context, metas, metasDigest, wholeMetas: context.metas };
  const list = tensorsByName(context.metas);
  const own = pulling.offers.get(context.store.rank)!.rest;
  const only = isWhole ? undefined : new Set(list.metas.filter((_, index) => has(own, index)).map(({ name }) => name));
  return { run: { ...run, context: narrowed }, planned: planUpdate(narrowed, options, roles, agreement), only };
}

/** @returns A function that keeps the buffer for the next update. */
async function moveBuckets(
  { run, planned, only }: Buckets,
  meeting: Meeting,
  contact: Awaited<ReturnType<typeof callWorkers>>,
  report: Parameters<typeof emitPlan>[4],
): Promise<() => void> {
  const { context, waiting, watch, life } = run;
  const { link, agreement } = meeting;
  const source = await openSourcesOf(run, planned);
  emitPlan(run, meeting, planned, source, report);
  const group = await link?.group(agreement.groupGeneration, waiting);
  await context.links.trim();
  const memory = await takeMemory(run, meeting, planned);
  const handshake = { ...contact, ...memory, group };
  await movePass(run, meeting, planned, handshake, { source, isFirst: true, only });
  if (memory.ring !== undefined && contact.session !== undefined) {
    watch.enter('release');
    await contact.session.release?.({ signal: life.signal });
  }
  return memory.keepRing;
}

function pullBytesOf({ answer, host }: PullAgreement): number {
  if (answer === undefined || host === undefined) return 0;
  return boxBytes(answer.needs);
}

function readBytesOf(rank: number, shared: SharedRings | undefined, { host }: PullAgreement): number {
  if (shared === undefined) return 0;
  return host!.plan.chunks.reduce((sum, chunk) => sum + (chunk.readerRank === rank ? chunk.sizeBytes : 0), 0);
}

/** Logs what was decided for the modules of this rank's worker, and why. */
function reportModules({ context }: UpdateRun, summary: NeedsSummary): ModuleReport {
  const { logger, store, checkpoint } = context;
  const report = moduleReport(summary);
  const { modules, direct, staged, opaque } = report;
  logger.info({ rank: store.rank, checkpoint, modules, direct, staged, opaque }, moduleReportText(report));
  return report;
}
