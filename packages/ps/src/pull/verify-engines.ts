import { CheckpointEngineError, digestText } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { checkpointDigest } from '@checkpoint-engine/meta';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { withDigests } from '../metas/gathered-metas.ts';
import { expectWorker } from '../update/expect-worker.ts';
import { callWorkers } from '../update/handshake.ts';
import type { Meeting } from '../update/meet.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import type { DifferingRange, VerifyReport } from '../verify/verify-report.ts';
import { agreeOnPull } from './agree-on-pull.ts';
import { reportHeld } from './verify-held.ts';

const MOST_LISTED = 100;

interface RankReport {
  readonly checkedBytes: number;
  readonly checkedTensors: readonly string[];
  readonly differing: readonly DifferingRange[];
  readonly differingCount: number;
  readonly unverified: readonly string[];
}

/**
 * Compares the weights of engines with a checkpoint, without loading anything.
 *
 * @throws `CE_NOT_SUPPORTED` A worker cannot report digests.
 */
export async function verifyEngines(run: UpdateRun, meeting: Meeting): Promise<VerifyReport> {
  const { context, life, waiting } = run;
  const { epoch } = meeting;
  const { rank } = context.store;
  const contact = await callWorkers(run, meeting, { slots: 1, ring: undefined }, undefined);
  const { session, request, inference } = contact;
  const agreeing = agreeOnPull(run, meeting, session, 'prepare');
  if (session && inference.isHead) void expectWorker(run, request, agreeing);
  const pulling = await agreeing;
  const produce = async (): Promise<Uint8Array> => {
    if (pulling.answer !== undefined && !pulling.answer.digests) throw cannotTell(rank);
    if (pulling.host === undefined) throw cannotTell(rank);
    const report = await reportHeld(run, meeting, pulling, session?.pull);
    const differing = report.differing.slice(0, MOST_LISTED).map(({ expected, seen, ...place }) => {
      const { tensor, offsetBytes, sizeBytes } = place;
      return { rank, tensor, offsetBytes, sizeBytes, expected: digestText(expected), seen: digestText(seen) };
    });
    const { checkedBytes, checkedTensors, unverified } = report;
    const differingCount = report.differing.length;
    return encode({ checkedBytes, checkedTensors, differing, differingCount, unverified } satisfies RankReport);
  };
  const replies = await exchange(epoch, 'verified', produce, waiting);
  session?.pull?.bye(false);
  await untilAborted(request, life.signal);
  const reports = replies.map((reply) => decodeFromRank<RankReport>(reply));
  const differing = reports.flatMap((report) => report.differing);
  const unverified = [...new Set(reports.flatMap((report) => report.unverified))].sort();
  return {
    checkpoint: context.checkpoint,
    digest: checkpointDigest(withDigests(context.metas, run.verifier.expected.told)),
    checkedBytes: reports.reduce((sum, { checkedBytes }) => sum + checkedBytes, 0),
    checkedTensors: new Set(reports.flatMap(({ checkedTensors }) => checkedTensors)).size,
    differing: differing.slice(0, MOST_LISTED),
    differingCount: reports.reduce((sum, { differingCount }) => sum + differingCount, 0),
    unverified: unverified.slice(0, MOST_LISTED),
    unverifiedTensors: unverified.length,
  };
}

function cannotTell(rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    'The worker cannot report digests of its weights',
    'Install the receiver of this release in the engine: workers of the Python tool have no digests',
    { rank },
  );
}
