import { randomBytes } from 'node:crypto';
import type { Logger } from '@checkpoint-engine/interface';
import { type StoreServer, startStoreServer } from '@checkpoint-engine/ps';
import type { Environment } from '../config/environment.ts';
import type { WorldJob } from '../config/jobs.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import { spawnRank } from '../process/spawn-rank.ts';
import { resolveDeviceKind } from '../rank/open-device.ts';
import { ServedWorld } from './served-world.ts';

/** What is around a served world. */
export interface OpenServedWorldOptions {
  readonly env: Environment;
  readonly logger: Logger;
  /** Ends the starting. */
  readonly signal: AbortSignal;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** How long ranks have to join. */
const JOIN_MS = 120_000;
const LOOPBACK = '127.0.0.1';

/** Starts the store and the ranks of a world that is to be served. Nothing is left when it rejects. */
export async function openServedWorld(
  config: ServeConfig,
  { env, logger, signal, onLogLine }: OpenServedWorldOptions,
): Promise<{ readonly world: ServedWorld; close(): Promise<void> }> {
  const { worldSize, engine, targets, update, limits, allowedRoots, log } = config;
  const deviceKind = await resolveDeviceKind(config.device, worldSize);
  // The ranks' secret is their own: who may use the API is no member of the world.
  const token = randomBytes(24).toString('base64url');
  // Here it outlives every rank. A world of one needs none.
  const store: StoreServer | undefined =
    worldSize > 1 ? await startStoreServer({ host: LOOPBACK, port: 0, worldSize, token, logger }) : undefined;
  const job: WorldJob = { deviceKind, lifetime: 'server', timeoutMs: JOIN_MS, logLevel: log.logLevel, ...limits };
  const rankEnv = {
    ...env,
    WORLD_SIZE: `${worldSize}`,
    MASTER_ADDR: LOOPBACK,
    MASTER_PORT: `${store?.port ?? 1}`,
    CHECKPOINT_ENGINE_TOKEN: token,
  };
  const places = Array.from({ length: worldSize }, (_, rank) => ({
    node: 0,
    open: (events: Parameters<typeof spawnRank>[1]) =>
      spawnRank({ ...rankEnv, RANK: `${rank}`, LOCAL_RANK: `${rank}` }, events),
  }));
  try {
    const world = await ServedWorld.start(
      { places, job, engines: { engine, targets }, update, allowedRoots, store, logger, onLogLine },
      signal,
    );
    return {
      world,
      close: async () => {
        await world.close();
        await store?.close();
      },
    };
  } catch (error) {
    await store?.close();
    throw error;
  }
}
