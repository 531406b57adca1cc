import type { Logger } from '@checkpoint-engine/interface';
import { type Environment, readSecrets } from '../config/environment.ts';
import { canMap, type DeviceKind, type RankUpdateRequest, type WorldSettings } from '../config/requests.ts';
import type { UpdateConfig } from '../config/update-config.ts';
import type { LogOptions } from '../output/log-options.ts';
import { exitNow } from '../process/exit-after.ts';
import type { Interrupts } from '../process/interrupts.ts';
import { SupervisedWorld } from '../process/supervised-world.ts';
import type { World } from '../process/world.ts';

/** The options of {@link openWorld}. */
export interface OpenWorldOptions {
  readonly config: Pick<UpdateConfig, 'worldSize' | 'identity' | 'limits' | 'p2p'> & {
    readonly delivery: { readonly updates: readonly Pick<RankUpdateRequest, 'targets' | 'method' | 'timeoutMs'>[] };
    readonly log: Pick<LogOptions, 'logLevel'>;
  };
  readonly deviceKind: DeviceKind;
  readonly env: Environment;
  readonly logger: Logger;
  readonly interrupts: Interrupts;
  readonly onLogLine: (line: string, rank: number) => void;
}

/** Runs a single rank, or a rank that a launcher started, in this process, and other ranks in child processes. */
export async function openWorld(options: OpenWorldOptions): Promise<World> {
  const { config, deviceKind, env, logger, interrupts, onLogLine } = options;
  const { worldSize, limits, p2p, delivery, log } = config;
  const { timeoutMs } = delivery.updates[0]!;
  const { targets, method = 'auto' } = config.delivery.updates[0]!;
  const sharePools = canMap(targets.engine, method) || p2p !== undefined;
  const settings: WorldSettings = {
    ...{ deviceKind, lifetime: 'update', p2p, sharePools, timeoutMs, logLevel: log.logLevel },
    ...limits,
  };
  if (!config.identity && worldSize > 1) {
    return await SupervisedWorld.start({ worldSize, settings, env, interrupts, onLogLine });
  }
  const { LocalWorld } = await import('../rank/local-world.ts');
  interrupts.insisted.addEventListener('abort', exitNow, { once: true });
  return await LocalWorld.open({
    identity: config.identity ?? { rank: 0, worldSize: 1, localRank: 0, masterAddr: '127.0.0.1', masterPort: 0 },
    settings,
    secrets: readSecrets(env),
    logger,
    signal: interrupts.asked,
  });
}
