import { basename, join, parse, resolve } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { LogOptions } from '../output/log-options.ts';
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

/** How `--update-method` can bring weights to the ranks. */
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

/** What `update` or `join` is to do, checked as a whole. */
export interface UpdateConfig {
  readonly command: 'update' | 'join';
  /** The one rank that this process is, where a launcher started it; otherwise this process starts its ranks. */
  readonly identity?: RankIdentity | undefined;
  /** The launcher that this process found itself under, where `RANK` is not set. */
  readonly launcher?: string | undefined;
  readonly worldSize: number;
  readonly device: DeviceKind | 'auto';
  readonly limits: MemoryLimits;
  /** Absent where nobody reads from anybody. */
  readonly p2p?: P2PJob | undefined;
  /** What is brought in, for people. */
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
    throw invalid(`${JSON.stringify(name)} cannot name a checkpoint`, 'Give it a name with --checkpoint-name');
  }
  const { updateMethod: method, saveMetasFile: metasFile, sleepTime: sleepMs, ranks } = flags;
  checkDistinctFiles({ '--trace': flags.trace, '--report': flags.report, '--save-metas-file': metasFile });
  const update = updateJob(flags, world.worldSize);
  const { parallelSize } = update.targets;
  // As in the Python tool: the first inference instance, where nobody is named.
  const some = ranks ?? Array.from({ length: parallelSize }, (_, rank) => rank);
  const isRead = method !== 'broadcast' || flags.p2p !== undefined || (metasFile !== undefined && sleepMs > 0);
  return {
    command: 'update',
    ...world,
    p2p: isRead ? p2pJob(flags, env) : undefined,
    title: name,
    delivery: {
      source: {
        register: { name, files: flags.checkpointPath, keepFiles: flags.keepFiles === true, ...reading(flags) },
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

/** @throws {CheckpointEngineError} `CE_CONFIG_INVALID` Two flags name the same output file. */
function checkDistinctFiles(files: Readonly<Record<string, string | undefined>>): void {
  const flagOf = new Map<string, string>();
  for (const [flag, file] of Object.entries(files)) {
    if (file === undefined) continue;
    const other = flagOf.get(resolve(file));
    if (other !== undefined) throw invalid(`${other} and ${flag} both name "${file}"`, 'Give each a file of its own');
    flagOf.set(resolve(file), flag);
  }
}

/** As {@link updateConfig}, for ranks that join. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function joinConfig(flags: JoinFlags, env: Environment): UpdateConfig {
  const world = worldConfig(flags, env);
  const { loadMetasFile: files, checkpointName: name } = flags;
  checkDistinctFiles({ '--trace': flags.trace, '--report': flags.report });
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
    throw invalid(
      `--nproc-per-node ${flags.nprocPerNode} starts ranks, but RANK=${env.RANK} and WORLD_SIZE=${env.WORLD_SIZE} say that this process is one`,
      'Leave --nproc-per-node out where a launcher starts the ranks, or unset RANK and WORLD_SIZE',
    );
  }
  const worldSize = identity?.worldSize ?? flags.nprocPerNode ?? 1;
  const stranger = flags.ranks?.find((rank) => rank >= worldSize);
  if (stranger !== undefined) {
    throw invalid(
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

/** With `--nproc-per-node` the ranks are started here, which the one task of a host may do. */
function launcherOf({ nprocPerNode }: DeliveryFlags, env: Environment): LaunchedProcess | undefined {
  if (nprocPerNode === undefined) return readLauncher(env);
  const isTask = env.SLURM_STEP_ID !== undefined || Boolean(env.SLURM_PROCID && env.SLURM_PROCID !== '0');
  const launched = isTask || env.OMPI_COMM_WORLD_RANK || env.PMI_RANK ? readLauncher(env) : undefined;
  if (!launched) return undefined;
  throw invalid(
    `--nproc-per-node ${nprocPerNode} starts ranks, but ${launched.launcher} says that this process is rank ${launched.env.RANK} of ${launched.env.WORLD_SIZE}`,
    'Leave --nproc-per-node out where a launcher starts the ranks, or start one process',
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
    releaseCommunicators: flags.releaseCommunicators === true,
    timeoutMs: flags.timeout,
    weightVersion: flags.weightVersion,
  };
}

/** The ranks of one engine receive together or not at all; by default those that receive have one engine. */
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
    throw invalid(
      `--ranks leaves out rank ${absent}, whose engine spans ranks ${first} to ${first + size - 1}`,
      'Name all ranks of an engine or none, and say with --inference-parallel-size how many an engine spans',
    );
  }
  return targets;
}

/** Ranks that a launcher started write a trace each: `update.json` becomes `update.rank-3.json`. */
function ofRank(file: string, rank: number): string {
  const { dir, name, ext } = parse(file);
  return join(dir, `${name}.rank-${rank}${ext}`);
}

/**
 * Files stream unless somebody wants to find the weights in host memory, during the update or after it; for afterwards
 * they are read there while it runs.
 */
function reading(flags: UpdateFlags): Pick<RankRegisterRequest, 'stream' | 'load' | 'hostMemoryBytes'> {
  const { stream, hostMemory, sleepTime, saveMetasFile, updateMethod } = flags;
  const isRead = updateMethod !== 'broadcast' && `--update-method ${updateMethod}`;
  const keeps = isRead || (sleepTime > 0 ? '--sleep-time' : saveMetasFile && '--save-metas-file');
  if (stream && keeps) {
    throw invalid(
      `--stream leaves no weights in host memory, and ${keeps} is for ranks that read them there`,
      `Leave out --stream or ${keeps}`,
    );
  }
  const streams = stream ?? !keeps;
  if (!streams && hostMemory !== undefined) {
    throw invalid(
      `--host-memory ${hostMemory} bounds what a streaming update reads into, but ${keeps || '--no-stream'} keeps all weights in host memory`,
      `Leave out --host-memory or ${keeps || '--no-stream'}`,
    );
  }
  if (hostMemory !== undefined && hostMemory < LEAST_HOST_MEMORY_BYTES) {
    throw invalid(`--host-memory is ${hostMemory} bytes, wanted 1MiB or more`, 'Give 256MiB or more for speed');
  }
  const isNow = stream === false || streams || isRead;
  return { stream: streams, load: isNow ? 'now' : 'background', hostMemoryBytes: hostMemory };
}

function invalid(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint);
}
