import { setImmediate } from 'node:timers';
import { RankLostError, type Store } from '@checkpoint-engine/interface';
import { ClientWorld, type Link } from './client-world.ts';
import { STORE_TIMEOUT_MS } from './connect-store.ts';
import { EMPTY_PAYLOAD, PayloadReader } from './payload.ts';
import type { ServerMessage } from './protocol.ts';
import { World } from './world.ts';

/** Options of {@link localStore}. */
export interface LocalStoreOptions {
  /** Default time-out of every call. @default 300_000 */
  readonly timeoutMs?: number | undefined;
}

/** The store of a world of one rank: the same rules as any other, without a socket. */
export function localStore({ timeoutMs = STORE_TIMEOUT_MS }: LocalStoreOptions = {}): Store {
  const server = new World(1, { server: 'local', heartbeatMs: 0, lostAfterMs: 0 });
  const link: Link = {
    send(message, values = []) {
      if (message.t === 'leave') server.leave(0, new RankLostError(0, 'Rank 0 left'));
      else server.handle(0, message, values.map(copy));
    },
    async close() {},
  };
  const client = new ClientWorld({ rank: 0, worldSize: 1, timeoutMs, link, generation: 0 });
  server.join(0, {
    send(message: ServerMessage, { sizes, pieces } = EMPTY_PAYLOAD) {
      const reader = new PayloadReader(sizes);
      for (const piece of pieces) reader.push(copy(piece));
      setImmediate(() => client.receive({ message, values: reader.values }));
    },
  });
  return client.root;
}

const copy = (bytes: Uint8Array): Uint8Array => bytes.slice();
