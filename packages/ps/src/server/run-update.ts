import type { PullIntent } from '@checkpoint-engine/interface';
import { Cleanup, untilAborted } from '@checkpoint-engine/interface/shared';
import type { UpdateOptions, UpdateResult } from '../api.ts';
import { runPull } from '../pull/run-pull.ts';
import { reasonOf, verifyEngines } from '../pull/verify-engines.ts';
import type { WorkerProtocol } from '../session.ts';
import { digestAhead } from '../update/digest-ahead.ts';
import { shakeHands } from '../update/handshake.ts';
import { leaveGroup, meet } from '../update/meet.ts';
import { methodWithoutSurvey } from '../update/method.ts';
import { moveBuckets, openSourcesOf } from '../update/move-buckets.ts';
import { planUpdate } from '../update/plan-update.ts';
import { Stopwatch } from '../update/stopwatch.ts';
import type { UpdateContext } from '../update/update-context.ts';
import { UpdateLifetime } from '../update/update-lifetime.ts';
import { emitPlan, summarise, wholeBuckets } from '../update/update-report.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { emitVersion } from '../update/weight-version.ts';
import { noteSilentWorker } from '../verify/note-silent-worker.ts';
import { Verifier } from '../verify/verifier.ts';
import type { VerifyReport } from '../verify/verify-report.ts';

const DEFAULT_TIMEOUT_MS = 300_000;

/**
 * Loads a checkpoint into the inference engines of some ranks or of all. Called on all ranks; resolves on all of them
 * when every worker that receives has run its post-load hook.
 *
 * If it rejects, it rejects on every rank, every worker and the engine have been notified, and all resources are
 * released.
 */
export async function runUpdate(
  context: UpdateContext,
  options: UpdateOptions,
  intent: PullIntent = 'update',
): Promise<UpdateResult> {
  const run = begin(context, options);
  const { watch, life, cleanup, waiting } = run;
  const { store, links, rings, logger } = context;
  const { rank } = store;
  try {
    watch.enter('plan');
    // If the engines choose the protocol, it is known only now whether their workers pull.
    const choosesLater = options.chooseWorkers !== undefined;
    if (!choosesLater && !maySurvey(options, run.protocol)) rings.begin(kindOf(context, options));
    const meeting = await meet(run);
    if (intent === 'update') await digestAhead(run, meeting);
    const method = methodWithoutSurvey(options, meeting.chosen);
    if (method === undefined) return await runPull(run, meeting, intent);
    if (choosesLater) rings.begin(kindOf(context, options));
    const { agreement, roles, link, epoch, moves } = meeting;
    const planned = planUpdate(context, options, roles, agreement);
    const source = await openSourcesOf(run, planned);
    const report = wholeBuckets(context, meeting, method);
    emitPlan(run, meeting, planned, source, report);
    const group = await link?.group(agreement.groupGeneration, waiting);
    await links.trim();
    watch.enter('handshake');
    const handshake = await shakeHands(run, meeting, planned, group);
    if (handshake.session !== undefined && handshake.session.pull === undefined) {
      noteSilentWorker({ metas: context.metas, logger, rank }, run.verifier.mode);
    }
    const change = await moveBuckets(run, meeting, planned, handshake, source);
    await untilAborted(handshake.request, life.signal);
    await epoch.barrier('done', waiting);
    if (handshake.inference.isHead) emitVersion(run, change!);
    if (options.releaseCommunicators === true) await leaveGroup(link, context);
    watch.enter('done');
    handshake.keepRing();
    return summarise(context, agreement, planned, moves, watch, {
      ...{ weightVersion: meeting.version.known!, version: change },
      ...report,
      pulledBytes: 0,
      verified: run.verifier.summary,
    });
  } catch (error) {
    throw await life.end(error);
  } finally {
    await cleanup.run().catch((cause) => logger.warn({ rank, cause }, 'Cleaning up after an update failed'));
  }
}

/**
 * Compares what the engines of some ranks or of all hold with a checkpoint. Called on all ranks.
 *
 * @throws `CE_NOT_SUPPORTED` A worker cannot report digests; otherwise the errors of an update.
 */
export async function runVerify(context: UpdateContext, options: UpdateOptions): Promise<VerifyReport> {
  const run = begin(context, { ...options, verify: 'full' });
  const { life, cleanup, waiting, watch } = run;
  const { store, logger } = context;
  try {
    watch.enter('plan');
    const meeting = await meet(run, 'verify');
    const report = await verifyEngines(run, meeting);
    await meeting.epoch.barrier('done', waiting);
    return report;
  } catch (error) {
    throw reasonOf(await life.end(error));
  } finally {
    await cleanup.run().catch((cause) => logger.warn({ rank: store.rank, cause }, 'Cleaning up failed'));
  }
}

/** Whether workers may be able to report what they keep, as far as known before the ranks meet. Equal on all ranks. */
function maySurvey({ method, passes }: UpdateOptions, { pulls }: WorkerProtocol): boolean {
  return pulls === true && method !== 'buckets' && passes !== 'any';
}

function begin(context: UpdateContext, options: UpdateOptions): UpdateRun {
  const { checkpoint, store } = context;
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const { rank } = store;
  const cleanup = new Cleanup();
  const life = new UpdateLifetime({ checkpoint, rank, timeoutMs, signals: [options.signal, store.signal], cleanup });
  const emit: UpdateRun['emit'] = (event) => options.onEvent?.(event);
  const { metas, digests, held, isForeign, device } = context;
  const own = held?.digests === undefined || isForeign ? undefined : { rank, book: held.digests };
  const mode = options.verify ?? 'sample';
  const verifier = new Verifier({ mode, rank, device, cleanup, known: { metas, gathered: digests, own } });
  return {
    context,
    options,
    protocol: options.protocol ?? context.protocol,
    life,
    cleanup,
    watch: new Stopwatch(rank, emit),
    verifier,
    emit,
    waiting: { signal: life.signal, timeoutMs },
  };
}

/** Returns the kind of an update, as far as known before the ranks meet: updates of one kind use rings of one size. */
function kindOf({ metasDigest }: UpdateContext, { bucketBytes, deviceMemoryBytes, ranks }: UpdateOptions): string {
  return [metasDigest, bucketBytes, deviceMemoryBytes, ranks].join(':');
}
