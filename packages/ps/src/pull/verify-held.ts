import { decodeDigests, decodeU64, encodeDigests, encodeU64 } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { BlockDigests } from '@checkpoint-engine/meta';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import { digestMismatch, type Mismatch } from '../digests/digest-mismatch.ts';
import type { HeldDigests, PullChannel } from '../pull-channel.ts';
import type { HostPlan } from '../update/host-plan.ts';
import type { Meeting } from '../update/meet.ts';
import { tensorList } from '../update/tensor-list.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import { type BoxesByTensor, boxesByTensor, bytesWithin, type CoverGroup, coverGroups } from '../verify/coverage.ts';
import { blocksOf, columnsOf, type HeldWindow, heldWindows } from '../verify/held-windows.ts';
import type { HostAgreement, PullAgreement } from './agree-on-pull.ts';

/** More bytes than any window has: the worker did not say. */
const UNSAID = 2 ** 52;

/** What workers of a host were found to hold, as far as this rank compared it. */
export interface HeldReport {
  readonly checkedBytes: number;
  readonly checkedTensors: readonly string[];
  readonly differing: readonly Mismatch[];
  /** Tensors that this rank's worker keeps and that could not be compared. */
  readonly unverified: readonly string[];
}

/** Compares what this rank's worker holds after an update. @throws `CE_DIGEST_MISMATCH` The first difference. */
export async function verifyHeld(
  run: UpdateRun,
  meeting: Meeting,
  pulling: PullAgreement,
  channel: PullChannel | undefined,
): Promise<void> {
  const { verifier } = run;
  if (!verifier.isOn || pulling.host === undefined) return;
  const { checkedBytes, differing, unverified } = await reportHeld(run, meeting, pulling, channel);
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
): Promise<HeldReport> {
  const { verifier, context, life, waiting } = run;
  const { scope } = host!;
  const { rank } = context.store;
  await tellDigests(run, meeting);
  const { metas, sizesBytes } = tensorList(context.metas);
  const { boxes, groups, isShared } = coverOf(host!, sizesBytes);
  const { windows, unknown } = heldWindows(boxes, metas, verifier.expected, verifier.sampling);
  const own = windowsOf(rank, windows, boxes);
  const asks = answer?.digests === true && own.length > 0;
  if (answer !== undefined && !answer.digests && answer.needs.tensor.length > 0) warnOnce(run);
  const held = asks ? await channel!.digest(columnsOf(own), { signal: life.signal }) : nothing(own.length);
  const byRank = new Map([[rank, held]]);
  if (isShared) {
    const columns = { digests: encodeDigests(held.digests), bytes: encodeU64(held.bytes) };
    const replies = await exchange(scope, 'held digests', () => encode(columns), waiting);
    for (const [at, member] of scope.members.entries()) {
      const reply = decodeFromRank<typeof columns>(replies[at]!);
      byRank.set(member, { digests: decodeDigests(reply.digests), bytes: decodeU64(reply.bytes) });
    }
  }
  const answers = new Map(
    [...byRank].map(([member, each]) => {
      const asked = windowsOf(member, windows, boxes);
      return [
        member,
        new Map(asked.map((window, at) => [window, { digest: each.digests[at]!, bytes: each.bytes[at]! }])),
      ];
    }),
  );
  const report = compare(rank, own, { boxes, groups, answers });
  const mine = unknown.filter((tensor) => boxes.get(tensor)!.has(rank)).map((tensor) => metas[tensor]!.name);
  const rest = verifier.sampling.isWhole ? [...(answer?.needs.rest ?? [])].map((index) => metas[index]!.name) : [];
  const differing = asks ? await narrow(run, report.differing, channel!) : report.differing;
  return { ...report, differing, unverified: [...report.unverified, ...mine, ...rest] };
}

/** Tells all ranks the digests of what was read after the metas were gathered. */
async function tellDigests(run: UpdateRun, { epoch }: Meeting): Promise<void> {
  const { verifier, context, waiting, life } = run;
  const { held, isForeign } = context;
  if (isForeign || verifier.expected.silentRanks.length === 0) return;
  if (verifier.mode === 'full') await untilAborted(held?.digesting ?? Promise.resolve(), life.signal);
  const own = verifier.expected.silentRanks.includes(context.store.rank) ? held?.digests?.complete : undefined;
  const columns = own && { blockBytes: own.blockBytes, blocks: encodeDigests(own.blocks) };
  const replies = await exchange(epoch, 'digests', () => encode(columns ?? null), waiting);
  for (const [at, member] of epoch.members.entries()) {
    const told = decodeFromRank<typeof columns | null>(replies[at]!);
    if (told) verifier.expected.tell(member, { ...told, blocks: decodeDigests(told.blocks) } satisfies BlockDigests);
  }
}

interface Comparison {
  readonly boxes: BoxesByTensor;
  readonly groups: ReadonlyMap<number, ReturnType<typeof coverGroups>>;
  readonly answers: ReadonlyMap<number, ReadonlyMap<HeldWindow, { readonly digest: bigint; readonly bytes: number }>>;
}

/** Each group is compared by its first rank. */
function compare(rank: number, own: readonly HeldWindow[], { boxes, groups, answers }: Comparison): HeldReport {
  let checkedBytes = 0;
  const checked = new Set<string>();
  const unverified = new Set<string>();
  const differing: Mismatch[] = [];
  for (const window of own) {
    const { tensor, name, offsetBytes, sizeBytes, expected } = window;
    const group = groups.get(tensor)!.groups.find(({ ranks }) => ranks.includes(rank));
    const isSaid = (member: number): boolean => {
      const wanted = bytesWithin(boxes.get(tensor)!.get(member)!, offsetBytes, offsetBytes + sizeBytes);
      return answers.get(member)?.get(window)?.bytes === wanted;
    };
    if (group === undefined || !group.ranks.every(isSaid)) {
      unverified.add(name);
      continue;
    }
    checked.add(name);
    checkedBytes += answers.get(rank)!.get(window)!.bytes;
    if (group.ranks[0] !== rank) continue;
    const seen = sumOf(group, (member) => answers.get(member)!.get(window)!.digest);
    const wanted = BigInt.asUintN(64, expected * BigInt(group.times));
    if (seen === wanted) continue;
    const place = { rank, otherRanks: group.ranks.slice(1), tensor: name, offsetBytes, sizeBytes };
    differing.push({ ...place, expected: wanted, seen, leg: 'engine' });
  }
  return { checkedBytes, checkedTensors: [...checked], differing, unverified: [...unverified] };
}

/** Finds the first block that differs, where one rank holds all of a tensor. Only the first tensors are asked again. */
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

/** Says once for each checkpoint that a worker cannot tell digests. */
function warnOnce({ context }: UpdateRun): void {
  const { logger, store, metas } = context;
  if (warned.has(metas)) return;
  warned.add(metas);
  logger.warn(
    { rank: store.rank },
    'The worker cannot tell digests of what it holds: only the bytes that arrive are verified. Install a newer receiver',
  );
}

/** What follows from the needs of a host's workers: worked out once for each plan. */
interface Cover {
  readonly boxes: BoxesByTensor;
  readonly groups: ReadonlyMap<number, ReturnType<typeof coverGroups>>;
  /** Some group has several ranks, so that ranks have to tell each other what their workers said. */
  readonly isShared: boolean;
}

const known = new WeakMap<HostPlan, Cover>();

function coverOf({ plan, needs }: HostAgreement, sizesBytes: Float64Array): Cover {
  let cover = known.get(plan);
  if (cover === undefined) {
    const boxes = boxesByTensor(needs);
    const groups = new Map(
      [...boxes].map(([tensor, byRank]) => [tensor, coverGroups(byRank, sizesBytes[tensor]!)] as const),
    );
    const isShared = [...groups.values()].some((each) => each.groups.some(({ ranks }) => ranks.length > 1));
    cover = { boxes, groups, isShared };
    known.set(plan, cover);
  }
  return cover;
}

function windowsOf(rank: number, windows: readonly HeldWindow[], boxes: BoxesByTensor): HeldWindow[] {
  return windows.filter(({ tensor }) => boxes.get(tensor)!.has(rank));
}

function sumOf({ ranks }: CoverGroup, digestOf: (rank: number) => bigint): bigint {
  return BigInt.asUintN(
    64,
    ranks.reduce((sum, rank) => sum + digestOf(rank), 0n),
  );
}

function nothing(count: number): HeldDigests {
  return { digests: new BigUint64Array(count), bytes: new Float64Array(count).fill(UNSAID) };
}
