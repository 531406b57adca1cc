import assert from 'node:assert/strict';
import type { MemoryKind, P2PSupports, RemoteMemory } from '@checkpoint-engine/interface';
import type { Pattern } from '../pattern.ts';
import type { Stage, StageMember } from '../suite/stage.ts';

/** A member of a P2P world. */
export type Peer = StageMember<'p2p'>;

/** The name of every member's endpoint in tests. */
export const endpoint = 'main';

const guardBytes = 64;

/** A range that an owner shares, filled with a pattern and surrounded by guards. */
export interface Shared {
  readonly owner: Peer;
  /** The owner's address. */
  readonly peer: string;
  readonly remote: RemoteMemory;
  readonly buffer: string;
  readonly sizeBytes: number;
  readonly pattern: Pattern;
  /** Name of the registration. */
  readonly as: string;
}

/** Opens an endpoint at each member and returns their addresses. */
export async function openAll(peers: readonly Peer[]): Promise<string[]> {
  return await Promise.all(peers.map((peer) => peer.open({ endpoint })));
}

/** Allocates, fills and registers a range at the owner, whose endpoint is open. */
export async function share(
  stage: Stage<'p2p'>,
  owner: Peer,
  peer: string,
  sizeBytes: number,
  kind?: MemoryKind,
): Promise<Shared> {
  const buffer = stage.newName('shared');
  const pattern = { root: owner.rank, seed: sizeBytes };
  const range = { buffer, offsetBytes: guardBytes, sizeBytes };
  const memory = kind ?? (await supportsOf(owner)).registers[0]!;
  await owner.allocate({ buffer, kind: memory, sizeBytes: sizeBytes + 2 * guardBytes });
  await owner.fill({ buffer, contents: [{ ...range, pattern }] });
  const as = stage.newName('registration');
  const remote = await owner.register({ endpoint, range, as });
  return { owner, peer, remote, buffer, sizeBytes, pattern, as };
}

/** Allocates a buffer of guard bytes at the reader. Returns its name. */
export async function landing(
  stage: Stage<'p2p'>,
  reader: Peer,
  sizeBytes: number,
  kind?: MemoryKind,
): Promise<string> {
  const buffer = stage.newName('landing');
  const memory = kind ?? (await supportsOf(reader)).readsInto[0]!;
  await reader.allocate({ buffer, kind: memory, sizeBytes: sizeBytes + 2 * guardBytes });
  await reader.fill({ buffer });
  return buffer;
}

/** Reads all of a shared range into a landing buffer, after its guard. */
export async function readAll(reader: Peer, { peer, remote, sizeBytes }: Shared, buffer: string): Promise<void> {
  const local = { buffer, offsetBytes: guardBytes, sizeBytes };
  await reader.read({ endpoint, peer, reads: [{ remote, remoteOffsetBytes: 0, local }] });
}

/** Checks every byte of the landing buffer after {@link readAll}, and of the owner's buffer. */
export async function verifyRead(reader: Peer, shared: Shared, buffer: string): Promise<void> {
  const contents = [{ offsetBytes: guardBytes, sizeBytes: shared.sizeBytes, pattern: shared.pattern }];
  const read = await reader.check({ buffer, contents });
  assert.equal(read, null, `Rank ${reader.rank} after a read from ${shared.owner.rank}: ${read}`);
  const own = await shared.owner.check({ buffer: shared.buffer, contents });
  assert.equal(own, null, `Owner ${shared.owner.rank} after a read by ${reader.rank}: ${own}`);
}

/** Shares, reads and checks. */
export async function readAndVerify(stage: Stage<'p2p'>, reader: Peer, shared: Shared): Promise<void> {
  const buffer = await landing(stage, reader, shared.sizeBytes);
  await readAll(reader, shared, buffer);
  await verifyRead(reader, shared, buffer);
}

/** Returns what the transport supports. */
export async function supportsOf(peer: Peer): Promise<P2PSupports> {
  return (await peer.manifest()).supports;
}
