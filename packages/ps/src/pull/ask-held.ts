import { decodeDigests, decodeU64, encodeDigests, encodeU64, type Store } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { HeldDigests, PullChannel } from '../pull-channel.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import { compareHeld, type HeldReport } from '../verify/compare-held.ts';
import { columnsOf, type HeldWindow } from '../verify/held-windows.ts';
import type { HostCover } from '../verify/host-cover.ts';

/** More bytes than any window has: the worker reported nothing. */
const UNSAID = 2 ** 52;

/** The workers whose answers are compared together. */
export interface HeldWorkers {
  /** Their ranks. */
  readonly scope: Store;
  readonly cover: HostCover;
  /** Channel to this rank's worker. Absent if the worker cannot report digests. */
  readonly channel: PullChannel | undefined;
}

/**
 * Requests the digests of windows from this rank's worker, and compares them with the expected digests. Called on all
 * ranks of the scope, with equal windows.
 *
 * @param name Name of the exchange in the scope.
 */
export async function askAndCompare(
  { life, waiting }: UpdateRun,
  { scope, cover, channel }: HeldWorkers,
  windows: readonly HeldWindow[],
  name: string,
): Promise<HeldReport> {
  const { rank } = scope;
  const own = windows.filter(({ tensor }) => cover.boxes.get(tensor)!.has(rank));
  const asks = channel !== undefined && own.length > 0;
  const held = asks ? await channel.digest(columnsOf(own), { signal: life.signal }) : nothing(own.length);
  const answers = new Map([[rank, held]]);
  if (cover.isShared) {
    const columns = { digests: encodeDigests(held.digests), bytes: encodeU64(held.bytes) };
    const replies = await exchange(scope, name, () => encode(columns), waiting);
    for (const [at, member] of scope.members.entries()) {
      if (member === rank) continue;
      const reply = decodeFromRank<typeof columns>(replies[at]!);
      answers.set(member, { digests: decodeDigests(reply.digests), bytes: decodeU64(reply.bytes) });
    }
  }
  return compareHeld(rank, windows, cover, answers);
}

function nothing(count: number): HeldDigests {
  return { digests: new BigUint64Array(count), bytes: new Float64Array(count).fill(UNSAID) };
}
