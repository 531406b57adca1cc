import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { checkpointDigest } from '@checkpoint-engine/meta';
import { withDigests } from '../metas/gathered-metas.ts';
import { expectWorker } from '../update/expect-worker.ts';
import { callWorkers } from '../update/handshake.ts';
import type { Meeting } from '../update/meet.ts';
import { tellDigests } from '../update/tell-digests.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import { heldWindows } from '../verify/held-windows.ts';
import { hostCover } from '../verify/host-cover.ts';
import type { VerifyReport } from '../verify/verify-report.ts';
import { askAndCompare } from './ask-held.ts';
import { lacksDigests, withoutDigests } from './cannot-verify.ts';
import { gatherReports } from './gather-reports.ts';
import { narrowToBlocks } from './narrow-to-blocks.ts';
import { surveyHeld } from './survey-held.ts';

const NOTHING = new Uint8Array(0);

/**
 * Compares what engines hold with a checkpoint. Sends them no weights, and their workers keep their records.
 *
 * @throws `CE_NOT_SUPPORTED` A worker cannot report what it holds, or the digests of the checkpoint are not known;
 *   `CE_ENGINE_MISMATCH` A worker holds other tensors.
 */
export async function verifyEngines(run: UpdateRun, meeting: Meeting): Promise<VerifyReport> {
  const { context, life, waiting, verifier } = run;
  const { epoch, chosen } = meeting;
  const { rank } = context.store;
  if (!chosen.pulls) throw lacksDigests(rank);
  // Reading the files can take minutes, so engines are queried afterwards.
  const read = async (): Promise<Uint8Array> => {
    await context.held?.readDigests?.({ signal: life.signal, emit: run.emit });
    return NOTHING;
  };
  if (!context.isForeign) await exchange(epoch, 'read', read, waiting);
  await tellDigests(run, meeting);
  const { silentRanks } = verifier.expected;
  if (silentRanks.length > 0) throw withoutDigests(context.checkpoint, silentRanks);
  const { session, request, inference } = await callWorkers(run, meeting, { slots: 1, ring: undefined }, undefined);
  const surveying = surveyHeld(run, meeting, session);
  if (session && inference.isHead) void expectWorker(run, request, surveying);
  const { answer, needs } = await surveying;
  const list = tensorsByName(context.metas);
  const workers = { scope: epoch, cover: hostCover(needs, needs, list), channel: session?.pull };
  const { windows } = heldWindows(workers.cover.kept, verifier.expected, verifier.sampling);
  const report = await askAndCompare(run, workers, windows, 'held digests');
  const differing = await narrowToBlocks(run, workers, report.differing);
  const rest = Array.from(answer?.needs.rest ?? [], (index) => list.metas[index]!.name);
  const unverified = [...report.unverified, ...rest];
  const summary = await gatherReports(run, epoch, { ...report, differing, unverified });
  session?.pull?.bye(false);
  await untilAborted(request, life.signal);
  const digest = checkpointDigest(withDigests(context.metas, verifier.expected.told));
  return { checkpoint: context.checkpoint, digest, ...summary };
}

/** Codes with which workers report why they cannot be verified. */
const PASSED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CE_NOT_SUPPORTED',
  'CE_ENGINE_MISMATCH',
  'CE_ENGINE_FAILED',
]);

/** The reason that a worker gave, instead of the failure of the worker. */
export function reasonOf(failure: CheckpointEngineError): CheckpointEngineError {
  const { cause } = failure;
  if (failure.code !== 'CE_WORKER_FAILED' || !CheckpointEngineError.isInstance(cause)) return failure;
  if (!PASSED.has(cause.code)) return failure;
  const { rank, peer } = failure;
  return new CheckpointEngineError(cause.code, cause.message, cause.hint, { rank, peer, op: 'verify', cause: failure });
}
