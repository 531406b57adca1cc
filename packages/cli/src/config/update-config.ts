import { basename, join, parse, resolve } from 'node:path';
import { formatBytes } from '@checkpoint-engine/planner/sizes';
import type { LogOptions } from '../output/log-options.ts';
import { configError } from './config-error.ts';
import { type EngineFlags, neededEngineTargets, type SizedEngineTargets } from './engine-targets.ts';
import {
  type Environment,
  type MemoryLimits,
  type RankIdentity,
  readMemoryLimits,
  readRankIdentity,
  readSecrets,
} from './environment.ts';
import { isCheckpointName } from './flag-values.ts';
import type {
  DeliveryJob,
  DeviceKind,
  Method,
  P2PJob,
  P2PWay,
  RankRegisterRequest,
  RankUpdateRequest,
} from './jobs.ts';
import { type LaunchedProcess, readLauncher } from './launchers.ts';

const LEAST_HOST_MEMORY_BYTES = 2 ** 20;

/** How `--update-method` can move weights to the ranks. */
export const UPDATE_METHODS = ['broadcast', 'p2p', 'all'] as const;

/** The flags that `update` and `join` share, parsed one by one. Durations in milliseconds, sizes in bytes. */
export interface DeliveryFlags extends LogOptions, EngineFlags {
  readonly checkpointName?: string;
  readonly nprocPerNode?: number;
  readonly device: DeviceKind | 'auto';
  readonly ranks?: readonly number[];
  readonly p2p?: P2PWay;
  readonly p2pHost: string;
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly method: Method;
  readonly verify: NonNullable<RankUpdateRequest['verify']>;
  readonly releaseCommunicators?: true;
  readonly timeout: number;
  readonly weightVersion?: string;
  readonly trace?: string;
  readonly report?: string;
  readonly json?: true;
}

/** The flags of `update`. */
export interface UpdateFlags extends DeliveryFlags {
  readonly checkpointPath: string;
  readonly updateMethod: (typeof UPDATE_METHODS)[number];
  readonly stream?: boolean;
  readonly hostMemory?: number;
  readonly keepFiles?: true;
  readonly saveMetasFile?: string;
  readonly sleepTime: number;
}

/** The flags of `join`. */
export interface JoinFlags extends DeliveryFlags {
  readonly loadMetasFile: readonly string[];
}

/** The work of `update` or `join`, checked as a whole. */
export interface UpdateConfig {
  readonly command: 'update' | 'join';
  /** The rank of this process if a launcher started it. If absent, this process starts the ranks. */
  readonly identity?: RankIdentity | undefined;
  /** The launcher of this process, where `RANK` is not set. */
  readonly launcher?: string | undefined;
  readonly worldSize: number;
  readonly device: DeviceKind | 'auto';
  readonly limits: MemoryLimits;
  /** Absent if no rank reads from another. */
  readonly p2p?: P2PJob | undefined;
  /** What is loaded, as shown to users. */
  readonly title: string;
  readonly delivery: DeliveryJob;
  /** How long the ranks stay after the update. */
  readonly sleepMs: number;
  readonly traceFile?: string | undefined;
  readonly reportFile?: string | undefined;
  readonly json: boolean;
  readonly log: LogOptions;
}

/** Checks the flags against each other and the environment. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function updateConfig(flags: UpdateFlags, env: Environment): UpdateConfig {
  const world = worldConfig(flags, env);
  const name = flags.checkpointName ?? basename(resolve(flags.checkpointPath));
  if (!isCheckpointName(name)) {
    throw configError(
      `${JSON.stringify(name)} is not valid as the name of a checkpoint`,
      'Choose a name with --checkpoint-name',
    );
  }
  const { updateMethod: method, saveMetasFile: metasFile, sleepTime: sleepMs, ranks } = flags;
  const update = updateJob(flags, world.worldSize);
  const { parallelSize } = update.targets;
  // Without --ranks, the ranks of the first inference instance, as in the Python tool.
  const some = ranks ?? Array.from({ length: parallelSize }, (_, rank) => rank);
  const isRead = method !== 'broadcast' || flags.p2p !== undefined || (metasFile !== undefined && sleepMs > 0);
  return {
    command: 'update',
    ...world,
    p2p: isRead ? p2pJob(flags, env) : undefined,
    title: name,
    delivery: {
      source: {
        register: {
          ...{ name, files: flags.checkpointPath, keepFiles: flags.keepFiles === true },
          ...{ digests: flags.verify !== 'off', ...reading(flags) },
        },
      },
      updates: [
        ...(method === 'p2p' ? [] : [method === 'all' ? { ...update, ranks: undefined } : update]),
        ...(method === 'broadcast' ? [] : [{ ...update, ranks: some }]),
      ],
      metasFile,
    },
    sleepMs,
  };
}

/** The same as {@link updateConfig}, for `join`. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function joinConfig(flags: JoinFlags, env: Environment): UpdateConfig {
  const world = worldConfig(flags, env);
  const { loadMetasFile: files, checkpointName: name } = flags;
  return {
    command: 'join',
    ...world,
    p2p: p2pJob(flags, env),
    title: name ?? basename(files[0]!),
    delivery: { source: { load: { files, name } }, updates: [updateJob(flags, world.worldSize)] },
    sleepMs: 0,
  };
}

function worldConfig(
  flags: DeliveryFlags,
  env: Environment,
): Pick<
  UpdateConfig,
  'identity' | 'launcher' | 'worldSize' | 'device' | 'limits' | 'traceFile' | 'reportFile' | 'json' | 'log'
> {
  const launched = launcherOf(flags, env);
  const identity = readRankIdentity(launched?.env ?? env);
  if (identity && !launched && flags.nprocPerNode !== undefined) {
    throw configError(
      `--nproc-per-node ${flags.nprocPerNode} starts ranks, but RANK=${env.RANK} and WORLD_SIZE=${env.WORLD_SIZE} show that this process is one`,
      'Remove --nproc-per-node where a launcher starts the ranks, or unset RANK and WORLD_SIZE',
    );
  }
  const worldSize = identity?.worldSize ?? flags.nprocPerNode ?? 1;
  const stranger = flags.ranks?.find((rank) => rank >= worldSize);
  if (stranger !== undefined) {
    throw configError(
      `--ranks names rank ${stranger} in a world of ${worldSize}`,
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
function launcherOf({ nprocPerNode }: DeliveryFlags, env: Environment): LaunchedProcess | undefined {
  if (nprocPerNode === undefined) return readLauncher(env);
  const isTask = env.SLURM_STEP_ID !== undefined || Boolean(env.SLURM_PROCID && env.SLURM_PROCID !== '0');
  const launched = isTask || env.OMPI_COMM_WORLD_RANK || env.PMI_RANK ? readLauncher(env) : undefined;
  if (!launched) return undefined;
  throw configError(
    `--nproc-per-node ${nprocPerNode} starts ranks, but ${launched.launcher} started this process as rank ${launched.env.RANK} of ${launched.env.WORLD_SIZE}`,
    'Remove --nproc-per-node where a launcher starts the ranks, or start one process',
  );
}

function p2pJob({ p2p: way = 'auto', p2pHost: host }: DeliveryFlags, env: Environment): P2PJob {
  return { way, host, needsToken: readSecrets(env).token !== undefined };
}

function updateJob(
  flags: DeliveryFlags,
  worldSize: number,
): Omit<RankUpdateRequest, 'name'> & { readonly targets: SizedEngineTargets } {
  return {
    targets: targetsOf(flags, worldSize),
    ranks: flags.ranks,
    bucketBytes: flags.bucketSize,
    deviceMemoryBytes: flags.deviceMemory,
    strategy: flags.method,
    verify: flags.verify,
    releaseCommunicators: flags.releaseCommunicators === true,
    timeoutMs: flags.timeout,
    weightVersion: flags.weightVersion,
  };
}

/** The ranks of one engine receive together or not at all. By default, those that receive belong to one engine. */
function targetsOf(flags: DeliveryFlags, worldSize: number): SizedEngineTargets {
  const { ranks, endpoint = [], uds = [] } = flags;
  const isOne = ranks !== undefined && Math.max(endpoint.length, uds.length) === 1;
  const inferenceParallelSize = flags.inferenceParallelSize ?? (isOne ? ranks.length : undefined);
  const targets = neededEngineTargets(
    inferenceParallelSize === undefined ? flags : { ...flags, inferenceParallelSize },
    worldSize,
  );
  const size = targets.parallelSize;
  for (const rank of ranks ?? []) {
    const first = rank - (rank % size);
    const absent = Array.from({ length: size }, (_, index) => first + index).find((other) => !ranks!.includes(other));
    if (absent === undefined) continue;
    throw configError(
      `--ranks leaves out rank ${absent}, whose engine spans ranks ${first} to ${first + size - 1}`,
      'Name all ranks of an engine or none, and give the number of ranks per engine with --inference-parallel-size',
    );
  }
  return targets;
}

/** Ranks that a launcher started write one trace each: `update.json` becomes `update.rank-3.json`. */
function ofRank(file: string, rank: number): string {
  const { dir, name, ext } = parse(file);
  return join(dir, `${name}.rank-${rank}${ext}`);
}

/**
 * Files stream unless the weights are needed in host memory during the update or after it. If they are needed only
 * after it, they are read in the background.
 */
function reading(flags: UpdateFlags): Pick<RankRegisterRequest, 'stream' | 'load' | 'hostMemoryBytes'> {
  const { stream, hostMemory, sleepTime, saveMetasFile, updateMethod } = flags;
  const isRead = updateMethod !== 'broadcast' && `--update-method ${updateMethod}`;
  const keeps = isRead || (sleepTime > 0 ? '--sleep-time' : saveMetasFile && '--save-metas-file');
  if (stream && keeps) {
    throw configError(
      `--stream leaves no weights in host memory, and ${keeps} is for ranks that read them there`,
      `Remove --stream or ${keeps}`,
    );
  }
  const streams = stream ?? !keeps;
  if (!streams && hostMemory !== undefined) {
    throw configError(
      `--host-memory ${formatBytes(hostMemory)} bounds what a streaming update reads into, but ${keeps || '--no-stream'} keeps all weights in host memory${keeps ? whereRead(keeps) : ''}`,
      `Remove --host-memory or ${keeps || '--no-stream'}`,
    );
  }
  if (hostMemory !== undefined && hostMemory < LEAST_HOST_MEMORY_BYTES) {
    throw configError(`--host-memory is ${hostMemory} bytes, expected 1MiB or more`, 'Use at least 256MiB for speed');
  }
  const isNow = stream === false || streams || isRead;
  return { stream: streams, load: isNow ? 'now' : 'background', hostMemoryBytes: hostMemory };
}

/** Why a flag keeps weights in host memory. */
function whereRead(flag: string): string {
  return flag.startsWith('--update-method') ? ', where ranks read them from each other' : ', where "join" reads them';
}
