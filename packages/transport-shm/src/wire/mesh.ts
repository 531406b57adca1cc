import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RankLostError, type Store } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { type MsgpackLimits, PendingConnections } from '@checkpoint-engine/interface/wire';
import { encode } from '@msgpack/msgpack';
import { connectTo, listenOn, newSocketName } from './abstract-socket.ts';
import { Connection } from './connection.ts';
import { decodeBounded } from './frame-codec.ts';
import { awaitHello, helloTimeoutMs, maxPending, sendHello } from './handshake.ts';

/** The entry of every member in the store: where it listens, and its share of the secret. */
interface Card {
  readonly socket: string;
  readonly share: Uint8Array;
}

const shareBytes = 32;
const cardLimits: MsgpackLimits = { maxBytes: 512, maxDepth: 1, maxValues: 8 };
/**
 * Retries for a member that disconnects without an answer, because it may have had too many unknown peers at its
 * socket.
 */
const maxTries = 5;
const retryMs = 50;

/**
 * Connects every member of the store's scope with every other one. The store carries the names of the sockets and the
 * secret whose knowledge both sides of each connection prove; afterwards the members stop listening.
 *
 * @param signal Aborts the call; then it leaves nothing open.
 * @returns The connections by rank, without this member's own.
 */
export async function connectMesh(
  store: Store,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Map<number, Connection>> {
  const { rank } = store;
  const peers = new Map<number, Connection>();
  const opened: Connection[] = [];
  const open = (connection: Connection) => {
    opened.push(connection);
    return connection;
  };
  let learn: (secret: Uint8Array) => void = () => {};
  const secret = new Promise<Uint8Array>((resolve) => {
    learn = resolve;
  });
  let allHere = (): void => {};
  const arrived = new Promise<void>((resolve) => {
    allHere = resolve;
  });
  const keep = (peer: number, connection: Connection) => {
    peers.set(peer, connection);
    if (peers.size === store.members.length - 1) allHere();
  };

  const isHigherMember = (peer: number): boolean => peer > rank && store.members.includes(peer) && !peers.has(peer);

  const socket = newSocketName();
  const pending = new PendingConnections({ maxCount: maxPending + store.members.length, timeoutMs: helloTimeoutMs });
  const server = await listenOn(socket, async (raw) => {
    const candidate = pending.admit(raw);
    const connection = new Connection(
      raw,
      () => candidate.refuse('it does not use the protocol'),
      () => candidate.throttle(),
    );
    const from = await awaitHello(connection, candidate, String(rank), secret, timeoutMs);
    if (from === undefined) return;
    open(connection);
    if (isHigherMember(Number(from))) keep(Number(from), connection);
    else connection.destroy();
  });
  try {
    const card: Card = { socket, share: randomBytes(shareBytes) };
    const gathered = await store.allGather('transport-shm', encode(card), { timeoutMs, signal });
    const cards = gathered.map(readCard);
    learn(joinShares(cards));
    // Each pair needs one connection: the higher rank opens it.
    const lower = store.members.map((peer, i) => ({ peer, card: cards[i]! })).filter(({ peer }) => peer < rank);
    await Promise.all(
      lower.map(async ({ peer, card }) => {
        keep(peer, await greet(rank, peer, card, await secret, open, signal));
      }),
    );
    if (store.members.length > 1) await untilAborted(arrived, signal);
    signal.throwIfAborted();
    return peers;
  } catch (error) {
    for (const connection of opened) connection.destroy();
    throw error;
  } finally {
    pending.close();
    server.close();
  }
}

async function greet(
  rank: number,
  peer: number,
  card: Card,
  secret: Uint8Array,
  open: (connection: Connection) => Connection,
  signal: AbortSignal,
): Promise<Connection> {
  let cause: unknown;
  try {
    for (let tries = 1; tries <= maxTries; tries += 1) {
      const connection = open(new Connection(await connectTo(card.socket, signal)));
      const isKnown = await sendHello(connection, { secret, from: String(rank), to: String(peer) }, signal);
      if (isKnown) return connection;
      connection.destroy();
      if (isKnown === false) break;
      await sleep(tries * retryMs, undefined, { signal });
    }
  } catch (error) {
    signal.throwIfAborted();
    cause = error;
  }
  throw new RankLostError(peer, `Rank ${peer} was lost while rank ${rank} joined it`, { rank, cause });
}

/** @throws {RangeError} It is not a card. */
function readCard(bytes: Uint8Array): Card {
  const card = decodeBounded(bytes, cardLimits) as Partial<Card> | null;
  const { socket, share } = card ?? {};
  if (typeof socket === 'string' && share instanceof Uint8Array && share.byteLength === shareBytes) {
    return { socket, share };
  }
  throw new RangeError('A member did not publish a socket and a share of the secret');
}

function joinShares(cards: readonly Card[]): Uint8Array {
  const hash = createHash('sha256');
  for (const { share } of cards) hash.update(share);
  return new Uint8Array(hash.digest());
}
