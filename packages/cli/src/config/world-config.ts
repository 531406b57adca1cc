import { join, parse } from 'node:path';
import type { LogOptions } from '../output/log-options.ts';
import { configError } from './config-error.ts';
import {
  type Environment,
  type MemoryLimits,
  type RankIdentity,
  readMemoryLimits,
  readRankIdentity,
} from './environment.ts';
import { type LaunchedProcess, readLauncher } from './launchers.ts';
import type { DeviceKind } from './requests.ts';

/** The flags that determine the rank or ranks of this process, and its reports. */
export interface WorldFlags extends LogOptions {
  readonly nprocPerNode?: number;
  readonly device: DeviceKind | 'auto';
  readonly ranks?: readonly number[];
  readonly trace?: string;
  readonly report?: string;
  readonly json?: true;
}

/** The world of a process, which is one of its ranks or starts all of them. */
export interface WorldConfig {
  /** The rank of this process if a launcher started it. If absent, this process starts the ranks. */
  readonly identity?: RankIdentity | undefined;
  /** The launcher of this process, if `RANK` is not set. */
  readonly launcher?: string | undefined;
  readonly worldSize: number;
  readonly device: DeviceKind | 'auto';
  readonly limits: MemoryLimits;
  readonly traceFile?: string | undefined;
  readonly reportFile?: string | undefined;
  readonly json: boolean;
  readonly log: LogOptions;
}

/**
 * Finds the world of this process, and checks that the flags agree with the launcher.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`
 */
export function worldConfig(flags: WorldFlags, env: Environment): WorldConfig {
  const launched = launcherOf(flags, env);
  const identity = readRankIdentity(launched?.env ?? env);
  if (identity && !launched && flags.nprocPerNode !== undefined) {
    throw configError(
      `--nproc-per-node ${flags.nprocPerNode} starts ranks, but RANK=${env.RANK} and WORLD_SIZE=${env.WORLD_SIZE} show that this process is one`,
      'Remove --nproc-per-node if a launcher starts the ranks, or unset RANK and WORLD_SIZE',
    );
  }
  const worldSize = identity?.worldSize ?? flags.nprocPerNode ?? 1;
  const unknownRank = flags.ranks?.find((rank) => rank >= worldSize);
  if (unknownRank !== undefined) {
    throw configError(
      `--ranks has rank ${unknownRank}, expected ranks below ${worldSize}`,
      `Count ranks from 0 to ${worldSize - 1}`,
    );
  }
  const { logLevel, logFormat } = flags;
  return {
    identity,
    launcher: launched?.launcher,
    worldSize,
    device: flags.device,
    limits: readMemoryLimits(env),
    traceFile: identity && flags.trace ? ofRank(flags.trace, identity.rank) : flags.trace,
    reportFile: identity && flags.report ? ofRank(flags.report, identity.rank) : flags.report,
    json: flags.json === true,
    log: { logLevel, logFormat },
  };
}

/** With `--nproc-per-node` this process starts the ranks, which is right for the only task on a host. */
function launcherOf({ nprocPerNode }: WorldFlags, env: Environment): LaunchedProcess | undefined {
  if (nprocPerNode === undefined) return readLauncher(env);
  const isTask = env.SLURM_STEP_ID !== undefined || Boolean(env.SLURM_PROCID && env.SLURM_PROCID !== '0');
  const launched = isTask || env.OMPI_COMM_WORLD_RANK || env.PMI_RANK ? readLauncher(env) : undefined;
  if (!launched) return undefined;
  throw configError(
    `--nproc-per-node ${nprocPerNode} starts ranks, but ${launched.launcher} started this process as rank ${launched.env.RANK} of ${launched.env.WORLD_SIZE}`,
    'Remove --nproc-per-node if a launcher starts the ranks, or start only one process',
  );
}

/** Each rank that a launcher started writes its own trace: `update.json` becomes `update.rank-3.json`. */
function ofRank(file: string, rank: number): string {
  const { dir, name, ext } = parse(file);
  return join(dir, `${name}.rank-${rank}${ext}`);
}
