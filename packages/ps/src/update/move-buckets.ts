import type { SharedMemory } from '@checkpoint-engine/interface';
import type { VersionChange } from '../progress-event.ts';
import type { BucketSource } from '../sources/bucket-source.ts';
import { arrivedRanges } from '../verify/arrived-ranges.ts';
import { confirmVersion } from './confirm-version.ts';
import { describeBuckets } from './describe-buckets.ts';
import { expectWorker } from './expect-worker.ts';
import type { Handshake } from './handshake.ts';
import type { Meeting } from './meet.ts';
import { nextPass } from './next-pass.ts';
import { type PipelineJob, runPipeline } from './pipeline.ts';
import type { PlannedUpdate } from './plan-update.ts';
import { openSources } from './sources.ts';
import { tensorList } from './tensor-list.ts';
import type { UpdateRun } from './update-run.ts';

/**
 * Moves all buckets to this rank's worker, and repeats it while its engine loads again.
 *
 * @returns The version of this rank's instance before and after, or undefined if the rank receives nothing.
 */
export async function moveBuckets(
  run: UpdateRun,
  meeting: Meeting,
  planned: PlannedUpdate,
  handshake: Handshake,
  firstSource: BucketSource,
): Promise<VersionChange | undefined> {
  const { watch, waiting } = run;
  const { session, request, inference, markLoaded } = handshake;
  let source = firstSource;
  let isAgain = false;
  let version: VersionChange | undefined;
  for (let pass = 0; pass === 0 || isAgain; pass++) {
    if (isAgain) {
      // Do not report reads again that were reported before.
      source = await openSourcesOf({ ...run, context: { ...run.context, reportsReads: false } }, planned);
    }
    await movePass(run, meeting, planned, handshake, { source, isFirst: pass === 0 });
    await source.close();
    watch.enter('release');
    await session?.finish({
      signal: waiting.signal,
      answer: request,
      onPhase: (phase) => (phase === 'released' ? watch.enter('hook') : markLoaded()),
    });
    const change = await confirmVersion(run, meeting, handshake, pass);
    // The first pass has the version from before the update.
    version ??= change;
    isAgain =
      meeting.chosen.passes === 'any' &&
      (await nextPass({ pass, session, request, isHead: inference.isHead, epoch: meeting.epoch, waiting }));
  }
  return version;
}

/** Opens the sources of this rank's buckets. */
export async function openSourcesOf(run: UpdateRun, planned: PlannedUpdate): Promise<BucketSource> {
  const { context, life, emit, cleanup, verifier } = run;
  return await openSources({ context, planned, signal: life.signal, emit, cleanup, verifies: verifier.digestsReads });
}

/** One pass of buckets. */
export interface Pass {
  readonly source: BucketSource;
  readonly isFirst: boolean;
  /** Tensors to describe to the worker. @default all */
  readonly only?: ReadonlySet<string> | undefined;
}

/** Moves all buckets to this rank's worker once. */
export async function movePass(
  run: UpdateRun,
  { link }: Meeting,
  planned: PlannedUpdate,
  { ring, sharesRing, staging, group, session, request, inference }: Handshake,
  { source, isFirst, only }: Pass,
): Promise<void> {
  if (ring === undefined) return;
  const { context, watch, life, emit } = run;
  const { signal } = life;
  const opened = session?.open(ring.memory, { signal, slots: planned.sizing.ringSlots }) ?? Promise.resolve();
  opened.catch(life.fail);
  if (isFirst && session && inference.isHead) void expectWorker(run, request, opened);
  opened.then(
    () => watch.enter('stream'),
    () => {},
  );
  // With several buckets in flight, a reload mostly waits for others.
  const isMeasured = session?.maxPending === 1;
  const pace = context.pace.follow((bucket) => planned.transfers[bucket]!.tensor.length);
  await runPipeline({
    transfers: planned.transfers,
    rank: context.store.rank,
    source,
    ring,
    sharesRing,
    staging,
    group,
    maxPendingBroadcasts: Math.min(link?.maxPending ?? 1, planned.sizing.ringSlots),
    session,
    opened,
    check: checkOf(run, { memory: ring.memory, sharesRing, isReceiver: session !== undefined }),
    describe: describeBuckets(context.metas, only),
    signal,
    onFailure: life.fail,
    emit: (event) => {
      if (isMeasured) pace.observe(event);
      emit(event);
    },
  });
  pace.end();
}

/** Compares what arrives: at its reader if all ranks share one ring, otherwise at each rank with a worker. */
function checkOf(
  { context, verifier }: UpdateRun,
  ring: { readonly memory: SharedMemory; readonly sharesRing: boolean; readonly isReceiver: boolean },
): PipelineJob['check'] {
  if (!verifier.isOn) return undefined;
  const { metas } = tensorList(context.metas);
  const { rank } = context.store;
  return async (transfer, range, onRead) => {
    const isMine = ring.sharesRing ? transfer.readerRank === rank : ring.isReceiver;
    if (!isMine) return onRead();
    await verifier.checkArrival(ring, arrivedRanges(transfer, metas, range.offsetBytes), onRead);
  };
}
