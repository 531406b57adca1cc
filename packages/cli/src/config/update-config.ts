import { basename, join, parse, resolve } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { LogOptions } from '../output/log.ts';
import { type EngineFlags, neededEngineTargets } from './engine-targets.ts';
import {
  type Environment,
  type MemoryLimits,
  type RankIdentity,
  readMemoryLimits,
  readRankIdentity,
} from './environment.ts';
import type { DeliveryJob, DeviceKind, RegisterJob } from './jobs.ts';

const LEAST_HOST_MEMORY_BYTES = 2 ** 20;

/** The flags of `update`, parsed one by one. Durations in milliseconds, sizes in bytes. */
export interface UpdateFlags extends LogOptions, EngineFlags {
  readonly checkpointPath: string;
  readonly checkpointName?: string;
  readonly nprocPerNode?: number;
  readonly device: DeviceKind | 'auto';
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly stages: '2' | '3' | 'auto';
  readonly releaseCommunicators?: true;
  readonly timeout: number;
  readonly stream?: boolean;
  readonly hostMemory?: number;
  readonly weightVersion?: string;
  readonly keepFiles?: true;
  readonly saveMetasFile?: string;
  readonly sleepTime: number;
  readonly trace?: string;
  readonly json?: true;
}

/** What `update` is to do, checked as a whole. */
export interface UpdateConfig {
  /** The one rank that this process is, where a launcher started it; otherwise this process starts its ranks. */
  readonly identity?: RankIdentity | undefined;
  readonly worldSize: number;
  readonly device: DeviceKind | 'auto';
  readonly limits: MemoryLimits;
  readonly delivery: DeliveryJob;
  /** How long the ranks stay after the update. */
  readonly sleepMs: number;
  readonly traceFile?: string | undefined;
  readonly json: boolean;
  readonly log: LogOptions;
}

/** Checks the flags against each other and the environment. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function updateConfig(flags: UpdateFlags, env: Environment): UpdateConfig {
  const identity = readRankIdentity(env);
  if (identity && flags.nprocPerNode !== undefined) {
    throw invalid(
      `--nproc-per-node ${flags.nprocPerNode} starts ranks, but RANK=${env.RANK} and WORLD_SIZE=${env.WORLD_SIZE} say that this process is one`,
      'Leave --nproc-per-node out where a launcher starts the ranks, or unset RANK and WORLD_SIZE',
    );
  }
  const worldSize = identity?.worldSize ?? flags.nprocPerNode ?? 1;
  const name = flags.checkpointName ?? basename(resolve(flags.checkpointPath));
  const { logLevel, logFormat } = flags;
  return {
    identity,
    worldSize,
    device: flags.device,
    limits: readMemoryLimits(env),
    delivery: {
      register: { name, files: flags.checkpointPath, keepFiles: flags.keepFiles === true, ...reading(flags) },
      update: {
        name,
        targets: neededEngineTargets(flags, worldSize),
        bucketBytes: flags.bucketSize,
        deviceMemoryBytes: flags.deviceMemory,
        stages: flags.stages === 'auto' ? 'auto' : flags.stages === '2' ? 2 : 3,
        releaseCommunicators: flags.releaseCommunicators === true,
        timeoutMs: flags.timeout,
        weightVersion: flags.weightVersion,
      },
      metasFile: flags.saveMetasFile,
    },
    sleepMs: flags.sleepTime,
    traceFile: identity && flags.trace ? ofRank(flags.trace, identity.rank) : flags.trace,
    json: flags.json === true,
    log: { logLevel, logFormat },
  };
}

/** Ranks that a launcher started write a trace each: `update.json` becomes `update.rank-3.json`. */
function ofRank(file: string, rank: number): string {
  const { dir, name, ext } = parse(file);
  return join(dir, `${name}.rank-${rank}${ext}`);
}

/**
 * Files stream unless somebody wants to find the weights in host memory after the update; then they are read there while
 * it runs.
 */
function reading({
  stream,
  hostMemory,
  sleepTime,
  saveMetasFile,
}: UpdateFlags): Pick<RegisterJob, 'stream' | 'load' | 'hostMemoryBytes'> {
  const keeps = sleepTime > 0 ? '--sleep-time' : saveMetasFile && '--save-metas-file';
  if (stream && keeps) {
    throw invalid(
      `--stream leaves no weights in host memory, and ${keeps} is for ranks that read them there afterwards`,
      `Leave out --stream or ${keeps}`,
    );
  }
  const streams = stream ?? !keeps;
  if (!streams && hostMemory !== undefined) {
    throw invalid(
      `--host-memory ${hostMemory} bounds what a streaming update reads into, but ${keeps ?? '--no-stream'} keeps all weights in host memory`,
      `Leave out --host-memory or ${keeps ?? '--no-stream'}`,
    );
  }
  if (hostMemory !== undefined && hostMemory < LEAST_HOST_MEMORY_BYTES) {
    throw invalid(`--host-memory is ${hostMemory} bytes, wanted 1MiB or more`, 'Give 256MiB or more for speed');
  }
  return { stream: streams, load: stream === false || streams ? 'now' : 'background', hostMemoryBytes: hostMemory };
}

function invalid(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint);
}
