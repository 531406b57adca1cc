import { createHash, randomBytes } from 'node:crypto';
import { RankLostError, type Store } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import { connectTo, listenOn, newSocketName } from './abstract-socket.ts';
import { Connection } from './connection.ts';
import { raceSignal } from './deadline.ts';
import { awaitHello, sayHello } from './handshake.ts';

/** What every member puts into the store: where it listens, and its share of the secret. */
interface Card {
  readonly socket: string;
  readonly share: Uint8Array;
}

/**
 * Connects every member of the store's scope with every other one. The store carries the names of the sockets and the
 * secret that both sides of each connection prove to know; afterwards nobody listens any more.
 *
 * @param signal Gives up; then nothing is left open.
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

  const socket = newSocketName();
  const server = await listenOn(socket, async (raw) => {
    const connection = open(new Connection(raw));
    const from = await awaitHello(connection, String(rank), secret);
    if (from !== undefined) keep(Number(from), connection);
  });
  try {
    const card: Card = { socket, share: randomBytes(32) };
    const gathered = await store.allGather('transport-shm', encode(card), { timeoutMs, signal });
    const cards = gathered.map((bytes) => decode(bytes) as Card);
    learn(joinShares(cards));
    // Each pair needs one connection: the higher rank opens it.
    const lower = store.members.map((peer, i) => ({ peer, card: cards[i]! })).filter(({ peer }) => peer < rank);
    await Promise.all(
      lower.map(async ({ peer, card }) => {
        keep(peer, await greet(rank, peer, card, await secret, open, signal));
      }),
    );
    if (store.members.length > 1) await raceSignal(signal, arrived);
    signal.throwIfAborted();
    return peers;
  } catch (error) {
    for (const connection of opened) connection.destroy();
    throw error;
  } finally {
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
    const connection = open(new Connection(await connectTo(card.socket, signal)));
    if (await sayHello(connection, { secret, from: String(rank), to: String(peer) }, signal)) return connection;
  } catch (error) {
    signal.throwIfAborted();
    cause = error;
  }
  throw new RankLostError(peer, `Rank ${peer} went away while rank ${rank} joined it`, { rank, cause });
}

function joinShares(cards: readonly Card[]): Uint8Array {
  const hash = createHash('sha256');
  for (const { share } of cards) hash.update(share);
  return new Uint8Array(hash.digest());
}
