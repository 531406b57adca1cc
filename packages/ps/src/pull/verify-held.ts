import { decodeDigests, decodeU64, encodeDigests, encodeU64 } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { BlockDigests } from '@checkpoint-engine/meta';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { digestMismatch, type Mismatch } from '../digests/digest-mismatch.ts';
import type { HeldDigests, PullChannel } from '../pull-channel.ts';
import type { Meeting } from '../update/meet.ts';
import { tensorList } from '../update/tensor-list.ts';
import type { UpdateContext } from '../update/update-context.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import { compareHeld, type HeldReport } from '../verify/compare-held.ts';
import { blocksOf, columnsOf, type HeldWindow, heldWindows } from '../verify/held-windows.ts';
import { type HostCover, hostCover } from '../verify/host-cover.ts';
import type { Verifier } from '../verify/verifier.ts';
import type { HostAgreement, PullAgreement } from './agree-on-pull.ts';

/** More bytes than any window has: the worker did not say. */
const UNSAID = 2 ** 52;

/** The windows that are compared after an update. Equal on all ranks of a host. */
export interface HeldQuestion {
  readonly cover: HostCover;
  readonly windows: readonly HeldWindow[];
  /** Tensors whose digests nobody has told. */
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
  const cover = hostCover(plan, needs, metas);
  return { cover, ...heldWindows(cover.kept, verifier.expected, verifier.sampling) };
}

/**
 * Compares what this rank's worker holds after an update.
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

/** Asks this rank's worker for digests of what it holds, and compares them with what was registered. */
export async function reportHeld(
  run: UpdateRun,
  meeting: Meeting,
  { answer, host }: PullAgreement,
  channel: PullChannel | undefined,
  question?: HeldQuestion,
): Promise<HeldReport> {
  const { verifier, context, life, waiting } = run;
  const { scope } = host!;
  const { rank } = context.store;
  if (question === undefined && mustTell(verifier, context)) await tellDigests(run, meeting);
  const { cover, windows, unknown } = question ?? chooseHeld(verifier, context, host!);
  const { boxes } = cover;
  const own = windows.filter(({ tensor }) => boxes.get(tensor)!.has(rank));
  const asks = answer?.digests === true && own.length > 0;
  if (answer !== undefined && !answer.digests && answer.needs.tensor.length > 0) warnOnce(run);
  const held = asks ? await channel!.digest(columnsOf(own), { signal: life.signal }) : nothing(own.length);
  const answers = new Map([[rank, held]]);
  if (cover.isShared) {
    const columns = { digests: encodeDigests(held.digests), bytes: encodeU64(held.bytes) };
    const replies = await exchange(scope, 'held digests', () => encode(columns), waiting);
    for (const [at, member] of scope.members.entries()) {
      if (member === rank) continue;
      const reply = decodeFromRank<typeof columns>(replies[at]!);
      answers.set(member, { digests: decodeDigests(reply.digests), bytes: decodeU64(reply.bytes) });
    }
  }
  const report = compareHeld(rank, windows, cover, answers);
  const { metas } = tensorList(context.metas);
  const mine = unknown.filter((tensor) => boxes.get(tensor)!.has(rank)).map((tensor) => metas[tensor]!.name);
  const rest = verifier.sampling.isWhole ? [...(answer?.needs.rest ?? [])].map((index) => metas[index]!.name) : [];
  const differing = asks ? await narrow(run, report.differing, channel!) : report.differing;
  return { ...report, differing, unverified: [...report.unverified, ...mine, ...rest] };
}

/** Whether ranks still have to tell the digests of what they read. Equal on all ranks. */
function mustTell({ expected }: Verifier, { isForeign }: UpdateContext): boolean {
  return !isForeign && expected.silentRanks.length > 0;
}

/** Exchanges the digests of data that was read after the metas were gathered. */
async function tellDigests(run: UpdateRun, { epoch }: Meeting): Promise<void> {
  const { verifier, context, waiting, life } = run;
  const { held } = context;
  if (verifier.mode === 'full') await untilAborted(held?.digesting ?? Promise.resolve(), life.signal);
  const own = verifier.expected.silentRanks.includes(context.store.rank) ? held?.digests?.complete : undefined;
  const columns = own && { blockBytes: own.blockBytes, blocks: encodeDigests(own.blocks) };
  const replies = await exchange(epoch, 'digests', () => encode(columns ?? null), waiting);
  for (const [at, member] of epoch.members.entries()) {
    const told = decodeFromRank<typeof columns | null>(replies[at]!);
    if (told) verifier.expected.tell(member, { ...told, blocks: decodeDigests(told.blocks) } satisfies BlockDigests);
  }
}

/** Finds the first block that differs if one rank holds a complete tensor. Only the first tensors are asked again. */
async function narrow(run: UpdateRun, differing: readonly Mismatch[], channel: PullChannel): Promise<Mismatch[]> {
  const MOST = 4;
  const { verifier, life, context } = run;
  const { metas } = tensorList(context.metas);
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

const warned = new WeakSet<object>();

/** Logs once per checkpoint that a worker cannot report digests. */
function warnOnce({ context }: UpdateRun): void {
  const { logger, store, metas } = context;
  if (warned.has(metas)) return;
  warned.add(metas);
  logger.warn(
    { rank: store.rank },
    'The worker cannot report digests of its weights: only arriving bytes are verified. Install a newer receiver',
  );
}

function nothing(count: number): HeldDigests {
  return { digests: new BigUint64Array(count), bytes: new Float64Array(count).fill(UNSAID) };
}
