import { hubLink } from '../store/hub-link.ts';
import { StoreHub } from '../store/store-hub.ts';
import { TestStore } from '../store/test-store.ts';
import { callHost, makeHost } from './make-host.ts';
import { makeMember } from './member.ts';
import type { World } from './world.ts';
import { newWorldName } from './world-name.ts';

/** Options of {@link inProcess}. */
export interface InProcessOptions {
  /**
   * Simulates the death of a member: it stops sending, and its peers may notice.
   *
   * @default members cannot be killed, and the tests that need it are skipped
   */
  readonly kill?: ((worldName: string, rank: number) => void) | undefined;
}

/** A world whose members all run in this process. */
export function inProcess({ kill }: InProcessOptions = {}): World {
  return {
    name: 'in process',
    cannotKill: kill === undefined ? 'its members share one process' : undefined,
    async start(kind, factory, size) {
      const hub = new StoreHub();
      const worldName = newWorldName();
      const start = async (rank: number) => {
        const openStore = async () => new TestStore(hubLink(hub, rank), rank, size);
        const host = await makeHost(kind, factory, { rank, worldSize: size, worldName }, openStore);
        let closed: Promise<void> | undefined;
        const control = {
          rank,
          kill: async () => {
            if (kill === undefined) throw new TypeError('Members of this world cannot be killed');
            closed = Promise.resolve();
            kill(worldName, rank);
            hub.lose(rank);
          },
          close: () => {
            closed ??= host.shutDown();
            return closed;
          },
        };
        return makeMember<never>(control, (name, args) => callHost(host, name, args));
      };
      return await Promise.all(Array.from({ length: size }, (_, rank) => start(rank)));
    },
  };
}
