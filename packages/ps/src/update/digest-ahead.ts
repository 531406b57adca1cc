import { untilAborted } from '@checkpoint-engine/interface/shared';
import { derivedVersion } from '../metas/derived-version.ts';
import type { Meeting } from './meet.ts';
import { tellDigests } from './tell-digests.ts';
import type { UpdateRun } from './update-run.ts';

/**
 * Waits until all files that are used in place have been digested, if the version is derived from digests. Called on all
 * ranks before an engine is asked: an engine that has been asked computes nothing until the version is confirmed.
 */
export async function digestAhead(run: UpdateRun, meeting: Meeting): Promise<void> {
  const { context, life, waiting, verifier } = run;
  const { agreement, epoch, version } = meeting;
  const proposals = [...agreement.proposals.values()];
  if (version.known !== undefined || !proposals.some(({ digestsInPlace }) => digestsInPlace)) return;
  await untilAborted(context.held?.digesting ?? Promise.resolve(), life.signal);
  if (proposals.some(({ digestsReads }) => digestsReads)) {
    await epoch.barrier('digested', waiting);
    return;
  }
  await tellDigests(run, meeting);
  // The result is kept for the end of the update.
  derivedVersion({ metas: context.metas, digests: verifier.expected.told });
}
