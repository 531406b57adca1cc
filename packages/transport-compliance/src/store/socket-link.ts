import { connect, createServer, type Server, type Socket } from 'node:net';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { StoreAnswer, StoreCall, StoreLink } from './store-call.ts';
import type { StoreHub } from './store-hub.ts';

/** A member sends its rank first, then its requests, then `leave` if it leaves regularly. */
type Line = { readonly rank: number } | { readonly id: number; readonly call: StoreCall } | { readonly leave: true };

/** Serves a hub to members in other processes; a member whose connection breaks counts as lost. */
export function serveHub(hub: StoreHub, path: string): Server {
  return createServer((socket) => {
    let rank = -1;
    let leaving = false;
    socket.on('close', () => {
      if (!leaving && rank >= 0) hub.lose(rank);
    });
    onLine(socket, async (text) => {
      const line = JSON.parse(text) as Line;
      if ('rank' in line) rank = line.rank;
      else if ('leave' in line) leaving = true;
      else send(socket, { id: line.id, answer: await hub.handle(rank, line.call) });
    });
  }).listen(path);
}

/** Reaches a hub that another process serves at `path`. */
export async function socketLink(path: string, rank: number): Promise<StoreLink> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const pending = new Map<number, { resolve: (answer: StoreAnswer) => void; reject: (error: Error) => void }>();
  const lost = new CheckpointEngineError('CE_STORE_UNREACHABLE', 'The test store is lost', 'Check the test process');
  let nextId = 0;
  socket.on('close', () => {
    for (const { reject } of pending.values()) reject(lost);
    pending.clear();
  });
  onLine(socket, (text) => {
    const { id, answer } = JSON.parse(text) as { id: number; answer: StoreAnswer };
    pending.get(id)?.resolve(answer);
    pending.delete(id);
  });
  send(socket, { rank });
  return {
    request: (call) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(lost);
        pending.set(nextId, { resolve, reject });
        send(socket, { id: nextId++, call });
      }),
    close: async () => {
      if (socket.destroyed) return;
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.end(`${JSON.stringify({ leave: true })}\n`);
      await closed;
    },
  };
}

/** Yields complete lines. A member that is killed while it writes leaves an incomplete last line, which is dropped. */
function onLine(socket: Socket, take: (text: string) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const [first, ...others] = text.split('\n');
    rest += first;
    for (const other of others) {
      take(rest);
      rest = other;
    }
  });
  socket.on('error', () => {}); // 'close' follows
}

function send(socket: Socket, value: object): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(value)}\n`);
}
