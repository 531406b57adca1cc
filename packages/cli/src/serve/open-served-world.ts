import { randomBytes } from 'node:crypto';
import type { Logger } from '@checkpoint-engine/interface';
import { type StoreServer, startStoreServer } from '@checkpoint-engine/ps';
import type { Environment } from '../config/environment.ts';
import { loopbackAddress } from '../config/loopback.ts';
import { canMap, type WorldSettings } from '../config/requests.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import type { OpenRankPort } from '../process/rank-port.ts';
import { spawnRank } from '../process/spawn-rank.ts';
import { resolveDeviceKind } from '../rank/open-device.ts';
import { NodeHub } from './nodes/node-hub.ts';
import { type RankPlace, ServedWorld } from './served-world.ts';

/** The resources around a served world. */
export interface OpenServedWorldOptions {
  readonly env: Environment;
  readonly logger: Logger;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** A world before its start, with its resources. */
export interface OpenedWorld {
  readonly world: ServedWorld;
  /** Ends the ranks, on other hosts as well, and their meeting point. */
  close(): Promise<void>;
}

/** Time limit for ranks to join. */
const JOIN_MS = 120_000;

/** Prepares the world of a server: where hosts and ranks meet. Does not start the ranks. */
export async function openServedWorld(config: ServeConfig, options: OpenServedWorldOptions): Promise<OpenedWorld> {
  const { nprocPerNode, nodes, engine, targets, update, limits, p2p, allowedRoots, log } = config;
  const { env, logger, onLogLine } = options;
  const deviceKind = await resolveDeviceKind(config.device, nprocPerNode);
  const worldSize = nprocPerNode * (nodes?.nodeCount ?? 1);
  // Worlds that read from each other share the user's token.
  const token = config.token ?? randomBytes(24).toString('base64url');
  const hub = nodes && (await NodeHub.open({ ...nodes, nprocPerNode, logger }));
  let store: StoreServer | undefined;
  try {
    // The store is in this process and outlives every rank. A world of one rank needs none.
    const where = nodes ? { host: nodes.host, port: nodes.port + 1 } : { host: loopbackAddress(), port: 0 };
    store = worldSize > 1 ? await startStoreServer({ ...where, worldSize, token, logger }) : undefined;
    const rankEnv = {
      WORLD_SIZE: `${worldSize}`,
      MASTER_ADDR: where.host,
      MASTER_PORT: `${store?.port ?? 1}`,
      CHECKPOINT_ENGINE_TOKEN: token,
    };
    const places = Array.from({ length: worldSize }, (_, rank): RankPlace => {
      const node = Math.floor(rank / nprocPerNode);
      const identity = { ...rankEnv, RANK: `${rank}`, LOCAL_RANK: `${rank % nprocPerNode}` };
      const here: OpenRankPort = (events) => spawnRank({ ...env, ...identity }, events);
      return { node, open: node === 0 ? here : hub!.nodes[node - 1]!.openRank(rank, identity) };
    });
    const settings: WorldSettings = {
      deviceKind,
      sharePools: canMap(config.engine, config.update.method ?? 'auto') || undefined,
      lifetime: 'server',
      p2p,
      timeoutMs: JOIN_MS,
      logLevel: log.logLevel,
      ...limits,
    };
    const engines = { engine, targets, ...config.serving };
    const world = new ServedWorld({ places, settings, engines, update, allowedRoots, store, logger, onLogLine });
    return {
      world,
      close: async () => {
        await world.close();
        await hub?.close();
        await store?.close();
      },
    };
  } catch (error) {
    await hub?.close();
    await store?.close();
    throw error;
  }
}
