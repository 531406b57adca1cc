import assert from 'node:assert/strict';
import type { BroadcastSupports, MemoryKind } from '@checkpoint-engine/interface';
import type { Stage, StageMember } from '../suite/stage.ts';

type Members = readonly StageMember<'broadcast'>[];

/** One broadcast and its buffers: everything before and after the target is guard bytes. */
export interface Exchange {
  readonly group: string;
  readonly root: number;
  readonly sizeBytes: number;
  readonly kind: MemoryKind;
  /** Distinguishes this message from others. */
  readonly seed: number;
  /** Offset of the target. @default 64 */
  readonly offsetBytes?: number | undefined;
  /** Whether the root sends from a separate buffer. */
  readonly outOfPlace?: boolean | undefined;
}

const guardBytes = 64;
const targetOf = ({ group, seed }: Exchange) => `${group}/${seed}/target`;
const sourceOf = ({ group, seed }: Exchange) => `${group}/${seed}/source`;

/** The target of an exchange, as a slice of its buffer. */
export function targetSlice(exchange: Exchange): { buffer: string; offsetBytes: number; sizeBytes: number } {
  const { offsetBytes = guardBytes, sizeBytes } = exchange;
  return { buffer: targetOf(exchange), offsetBytes, sizeBytes };
}

function sourceSlice(exchange: Exchange) {
  // The source has another offset than the target, so that the test detects a transport that confuses the two.
  return { buffer: sourceOf(exchange), offsetBytes: guardBytes + 32, sizeBytes: exchange.sizeBytes };
}

/** Allocates and fills the buffers of an exchange. */
export async function prepare(members: Members, exchange: Exchange): Promise<void> {
  const { root, seed, kind, outOfPlace } = exchange;
  const target = targetSlice(exchange);
  const source = sourceSlice(exchange);
  const pattern = { root, seed };
  await Promise.all(
    members.map(async (member) => {
      const sizeBytes = target.offsetBytes + target.sizeBytes + guardBytes;
      await member.allocate({ buffer: target.buffer, kind, sizeBytes });
      const sends = member.rank === root;
      const message = (slice: typeof target) => [{ ...slice, pattern }];
      await member.fill({ buffer: target.buffer, contents: sends && !outOfPlace ? message(target) : [] });
      if (!sends || !outOfPlace) return;
      await member.allocate({ buffer: source.buffer, kind, sizeBytes: sizeBytes + 32 });
      await member.fill({ buffer: source.buffer, contents: message(source) });
    }),
  );
}

/** Starts the broadcast at every member; resolves when all members are done. */
export async function send(members: Members, exchange: Exchange): Promise<void> {
  await Promise.all(members.map((member) => sendAt(member, exchange)));
}

/** Starts the broadcast at one member. */
export function sendAt(member: Members[number], exchange: Exchange): Promise<void> {
  const { group, root, outOfPlace } = exchange;
  const source = outOfPlace && member.rank === root ? sourceSlice(exchange) : undefined;
  return member.broadcast({ group, root, target: targetSlice(exchange), source });
}

/** Checks every byte of every buffer of an exchange. */
export async function verify(members: Members, exchange: Exchange): Promise<void> {
  const { root, seed, outOfPlace } = exchange;
  const pattern = { root, seed };
  for (const member of members) {
    const slices = [targetSlice(exchange), ...(outOfPlace && member.rank === root ? [sourceSlice(exchange)] : [])];
    for (const slice of slices) {
      const wrong = await member.check({ buffer: slice.buffer, contents: [{ ...slice, pattern }] });
      assert.equal(wrong, null, `Rank ${member.rank} after a broadcast from ${root}: ${wrong}`);
    }
  }
}

/** Runs a whole exchange: fills the buffers, sends and checks. */
export async function exchangeBytes(members: Members, exchange: Exchange): Promise<void> {
  await prepare(members, exchange);
  await send(members, exchange);
  await verify(members, exchange);
}

/** Joins a new group of these members and returns its name. */
export async function joinGroup(stage: Stage<'broadcast'>, members: Members): Promise<string> {
  const group = stage.newName('group');
  const ranks = members.map((member) => member.rank);
  await Promise.all(members.map((member) => member.join({ group, members: ranks })));
  return group;
}

/** Returns what the transport supports. */
export async function supportsOf(members: Members): Promise<BroadcastSupports> {
  return (await members[0]!.manifest()).supports;
}

/** Returns the kind of memory for tests that do not depend on it. */
export async function anyKind(members: Members): Promise<MemoryKind> {
  return (await supportsOf(members)).memory[0]!;
}
