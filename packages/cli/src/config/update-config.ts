import { basename } from 'node:path';
import { formatBytes } from '@checkpoint-engine/planner/sizes';
import { checkpointNameOf } from './checkpoint-name.ts';
import { configError } from './config-error.ts';
import { type EngineFlags, neededEngineTargets, type SizedEngineTargets } from './engine-targets.ts';
import { type Environment, readSecrets } from './environment.ts';
import type {
  DeliveryRequest,
  Method,
  P2PSettings,
  P2PTransportName,
  RankRegisterRequest,
  RankUpdateRequest,
} from './requests.ts';
import { type WorldConfig, type WorldFlags, worldConfig } from './world-config.ts';

const MIN_HOST_MEMORY_BYTES = 2 ** 20;

/** The methods of `--update-method` that move weights to the ranks. */
export const UPDATE_METHODS = ['broadcast', 'p2p', 'all'] as const;

/** The flags that `update` and `join` share, parsed one by one. Durations in milliseconds, sizes in bytes. */
export interface DeliveryFlags extends WorldFlags, EngineFlags {
  readonly checkpointName?: string;
  readonly p2p?: P2PTransportName;
  readonly p2pHost: string;
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly method: Method;
  readonly verify: NonNullable<RankUpdateRequest['verify']>;
  readonly releaseCommunicators?: true;
  readonly timeout: number;
  readonly weightVersion?: string;
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
export interface UpdateConfig extends WorldConfig {
  readonly command: 'update' | 'join';
  /** Absent if no rank reads from another. */
  readonly p2p?: P2PSettings | undefined;
  /** The name of the loaded data, as shown to users. */
  readonly title: string;
  readonly delivery: DeliveryRequest;
  /** Time that the ranks stay after the update. */
  readonly sleepMs: number;
}

/** Checks the flags against each other and the environment. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function updateConfig(flags: UpdateFlags, env: Environment): UpdateConfig {
  const world = worldConfig(flags, env);
  const name = checkpointNameOf(flags.checkpointName, flags.checkpointPath);
  const { updateMethod: method, saveMetasFile: metasFile, sleepTime: sleepMs, ranks } = flags;
  const update = updateRequest(flags, world.worldSize);
  const { parallelSize } = update.targets;
  // Without --ranks, the ranks of the first inference instance, as in the Python tool.
  const some = ranks ?? Array.from({ length: parallelSize }, (_, rank) => rank);
  const isRead = method !== 'broadcast' || flags.p2p !== undefined || (metasFile !== undefined && sleepMs > 0);
  return {
    command: 'update',
    ...world,
    p2p: isRead ? p2pSettings(flags, env) : undefined,
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
    p2p: p2pSettings(flags, env),
    title: name ?? basename(files[0]!),
    delivery: { source: { load: { files, name } }, updates: [updateRequest(flags, world.worldSize)] },
    sleepMs: 0,
  };
}

function p2pSettings({ p2p: transport = 'auto', p2pHost: host }: DeliveryFlags, env: Environment): P2PSettings {
  return { transport, host, needsToken: readSecrets(env).token !== undefined };
}

function updateRequest(
  flags: DeliveryFlags,
  worldSize: number,
): Omit<RankUpdateRequest, 'name'> & { readonly targets: SizedEngineTargets } {
  return {
    targets: targetsOf(flags, worldSize),
    ranks: flags.ranks,
    bucketBytes: flags.bucketSize,
    deviceMemoryBytes: flags.deviceMemory,
    method: flags.method,
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
      'Include all ranks of an engine or none, and set the number of ranks per engine with --inference-parallel-size',
    );
  }
  return targets;
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
      `--stream leaves no weights in host memory, but with ${keeps} ranks read them there`,
      `Remove --stream or ${keeps}`,
    );
  }
  const streams = stream ?? !keeps;
  if (!streams && hostMemory !== undefined) {
    throw configError(
      `--host-memory ${formatBytes(hostMemory)} limits the buffer of a streaming update, but ${keeps || '--no-stream'} keeps all weights in host memory${keeps ? whereRead(keeps) : ''}`,
      `Remove --host-memory or ${keeps || '--no-stream'}`,
    );
  }
  if (hostMemory !== undefined && hostMemory < MIN_HOST_MEMORY_BYTES) {
    throw configError(`--host-memory is ${hostMemory} bytes, expected 1MiB or more`, 'Use at least 256MiB for speed');
  }
  const isNow = stream === false || streams || isRead;
  return { stream: streams, load: isNow ? 'now' : 'background', hostMemoryBytes: hostMemory };
}

/** Explains why a flag keeps weights in host memory. */
function whereRead(flag: string): string {
  return flag.startsWith('--update-method') ? ', where ranks read them from each other' : ', where "join" reads them';
}
