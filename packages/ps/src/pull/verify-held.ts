import { digestMismatch, type Mismatch } from '../digests/digest-mismatch.ts';
import type { PullChannel } from '../pull-channel.ts';
import type { Meeting } from '../update/meet.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import type { UpdateContext } from '../update/update-context.ts';
import type { UpdateRun } from '../update/update-run.ts';
import type { HeldReport } from '../verify/compare-held.ts';
import { blocksOf, columnsOf, type HeldWindow, heldWindows } from '../verify/held-windows.ts';
import { type HostCover, hostCover } from '../verify/host-cover.ts';
import { noteSilentWorker } from '../verify/note-silent-worker.ts';
import type { Verifier } from '../verify/verifier.ts';
import type { HostAgreement, PullAgreement } from './agree-on-pull.ts';
import { askAndCompare } from './ask-held.ts';
import { tellDigests } from './tell-digests.ts';

/** The windows that are compared after an update. Equal on all ranks of a host. */
export interface HeldQuestion {
  readonly cover: HostCover;
  readonly windows: readonly HeldWindow[];
  /** Tensors whose digests no rank has reported. */
  readonly unknown: readonly number[];
}

/**
 * Chooses what is compared after an update: work for the time in which workers copy.
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
  const report = await askAndCompare(run, { scope, cover, channel: teller }, windows, 'held digests');
  const { metas } = tensorsByName(context.metas);
  const mine = unknown.filter((tensor) => boxes.get(tensor)!.has(rank)).map((tensor) => metas[tensor]!.name);
  const rest = verifier.sampling.isWhole ? [...(answer?.needs.rest ?? [])].map((index) => metas[index]!.name) : [];
  const differing = teller === undefined ? report.differing : await narrow(run, report.differing, teller);
  return { ...report, differing, unverified: [...report.unverified, ...mine, ...rest] };
}

/** Whether ranks still have to tell the digests of what they read. Equal on all ranks. */
function mustTell({ expected }: Verifier, { isForeign }: UpdateContext): boolean {
  return !isForeign && expected.silentRanks.length > 0;
}

/** Finds the first block that differs if one rank holds a complete tensor. Only the first tensors are asked again. */
async function narrow(run: UpdateRun, differing: readonly Mismatch[], channel: PullChannel): Promise<Mismatch[]> {
  const MOST = 4;
  const { verifier, life, context } = run;
  const { metas } = tensorsByName(context.metas);
  const found: Mismatch[] = [];
  for (const [at, mismatch] of differing.entries()) {
    const known = verifier.expected.toldOf(mismatch.tensor);
    const isWhole = mismatch.sizeBytes === known?.meta.sizeBytes && mismatch.otherRanks?.length === 0;
    if (at >= MOST || known === undefined || !isWhole) {
      found.push(mismatch);
      continue;
    }
    const blocks = blocksOf(
      metas.findIndex(({ name }) => name === mismatch.tensor),
      known,
    );
    const { digests, bytes } = await channel.digest(columnsOf(blocks), { signal: life.signal });
    const wrong = blocks.findIndex(({ expected, sizeBytes }, index) => {
      const times = BigInt(Math.round(bytes[index]! / sizeBytes));
      return digests[index] !== BigInt.asUintN(64, expected * times);
    });
    if (wrong < 0) {
      found.push(mismatch);
      continue;
    }
    const { offsetBytes, sizeBytes, expected } = blocks[wrong]!;
    found.push({ ...mismatch, offsetBytes, sizeBytes, expected, seen: digests[wrong]! });
  }
  return found;
}
