import { digestMismatch } from '../digests/digest-mismatch.ts';
import type { PullChannel } from '../pull-channel.ts';
import type { Meeting } from '../update/meet.ts';
import { tellDigests } from '../update/tell-digests.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateContext } from '../update/update-context.ts';
import type { UpdateRun } from '../update/update-run.ts';
import type { HeldReport } from '../verify/compare-held.ts';
import { type HeldWindow, heldWindows } from '../verify/held-windows.ts';
import { type HostCover, hostCover } from '../verify/host-cover.ts';
import { noteSilentWorker } from '../verify/note-silent-worker.ts';
import type { Verifier } from '../verify/verifier.ts';
import type { HostAgreement, PullAgreement } from './agree-on-pull.ts';
import { askAndCompare } from './ask-held.ts';
import { narrowToBlocks } from './narrow-to-blocks.ts';

/** The windows that are compared after an update. Equal on all ranks of a host. */
export interface HeldQuestion {
  readonly cover: HostCover;
  readonly windows: readonly HeldWindow[];
  /** Tensors whose digests no rank has reported. */
  readonly unknown: readonly number[];
}

/**
 * Chooses what is compared after an update. Called while workers copy.
 *
 * @returns Undefined if nothing is compared, or if the digests are not known before the update has read everything.
 */
export function askHeld({ verifier, context }: UpdateRun, { host }: PullAgreement): HeldQuestion | undefined {
  if (!verifier.isOn || host === undefined || mustTell(verifier, context)) return undefined;
  return chooseHeld(verifier, context, host);
}

function chooseHeld(verifier: Verifier, { metas }: UpdateContext, { plan, needs }: HostAgreement): HeldQuestion {
  const cover = hostCover(plan, needs, tensorsByName(metas));
  return { cover, ...heldWindows(cover.kept, verifier.expected, verifier.sampling) };
}

/**
 * Compares the weights of this rank's worker after an update.
 *
 * @param question As {@link askHeld} returned it.
 * @throws `CE_DIGEST_MISMATCH` The first difference.
 */
export async function verifyHeld(
  run: UpdateRun,
  meeting: Meeting,
  pulling: PullAgreement,
  channel: PullChannel | undefined,
  question: HeldQuestion | undefined,
): Promise<void> {
  const { verifier } = run;
  if (!verifier.isOn || pulling.host === undefined) return;
  const { checkedBytes, differing, unverified } = await reportHeld(run, meeting, pulling, channel, question);
  verifier.countHeld(checkedBytes, unverified.length);
  const [first] = differing;
  if (first !== undefined) throw digestMismatch(first);
}

/** Prepares the comparison of an update. It depends on the plan alone, and takes long for many tensors. */
export function prepareHeld({ verifier, context }: UpdateRun, { host }: PullAgreement): void {
  if (verifier.isOn && host !== undefined) hostCover(host.plan, host.needs, tensorsByName(context.metas));
}

/** Asks this rank's worker for digests of what it holds, and compares them with what was registered. */
async function reportHeld(
  run: UpdateRun,
  meeting: Meeting,
  { answer, host }: PullAgreement,
  channel: PullChannel | undefined,
  question?: HeldQuestion,
): Promise<HeldReport> {
  const { verifier, context } = run;
  const { scope } = host!;
  const { rank } = context.store;
  if (question === undefined && mustTell(verifier, context)) await tellDigests(run, meeting);
  const { cover, windows, unknown } = question ?? chooseHeld(verifier, context, host!);
  const { boxes } = cover;
  if (answer !== undefined && !answer.digests && answer.needs.tensor.length > 0) {
    noteSilentWorker({ metas: context.metas, logger: context.logger, rank }, verifier.mode);
  }
  const teller = answer?.digests === true ? channel : undefined;
  const workers = { scope, cover, channel: teller };
  const report = await askAndCompare(run, workers, windows, 'held digests');
  // A sample has single blocks.
  const { isWhole } = verifier.sampling;
  const { metas } = tensorsByName(context.metas);
  const mine = unknown.filter((tensor) => boxes.get(tensor)!.has(rank)).map((tensor) => metas[tensor]!.name);
  const rest = isWhole ? [...(answer?.needs.rest ?? [])].map((index) => metas[index]!.name) : [];
  const differing = isWhole ? await narrowToBlocks(run, workers, report.differing) : report.differing;
  return { ...report, differing, unverified: [...report.unverified, ...mine, ...rest] };
}

/** Whether ranks must still send the digests of the bytes that they read. Equal on all ranks. */
function mustTell({ expected }: Verifier, { isForeign }: UpdateContext): boolean {
  return !isForeign && expected.silentRanks.length > 0;
}
