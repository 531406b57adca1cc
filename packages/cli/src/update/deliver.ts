import type { DeliveryJob } from '../config/jobs.ts';
import type { CallOptions, World } from '../process/world.ts';
import { bothOrNone } from './both-or-none.ts';
import type { RankReport } from './rank-report.ts';

/**
 * Brings one checkpoint the whole way into the engines. It is read while the engines get ready, if they have only just
 * been started. Called by all processes that share the world.
 *
 * @returns The reports of the ranks that this process knows.
 * @throws The first failure of any of them.
 */
export async function deliver(
  world: World,
  { register, update, metasFile }: DeliveryJob,
  { signal, onEvent }: CallOptions & { readonly signal: AbortSignal },
): Promise<readonly RankReport[]> {
  const { name, timeoutMs, targets } = update;
  const [registered] = await bothOrNone(signal, [
    (stop) => world.call('register', register, { signal: stop, onEvent }),
    (stop) => world.call('engineReady', { targets, timeoutMs }, { signal: stop }),
  ]);
  const gathered = await world.call('gatherMetas', { name, timeoutMs }, { signal });
  const updated = await world.call('update', update, { signal, onEvent });
  if (metasFile !== undefined) {
    // Others read what the metas name: all of it has to be there.
    await world.call('loaded', { name }, { signal });
    await world.call('gatherMetas', { name, timeoutMs, metasFile }, { signal });
  }
  return world.ranks.map((rank, index) => ({
    rank,
    registered: registered[index]!,
    gatherMs: gathered[index]!.durationMs,
    update: updated[index]!,
  }));
}
