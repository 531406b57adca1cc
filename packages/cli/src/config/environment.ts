import { CheckpointEngineError } from '@checkpoint-engine/interface';

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Which rank of which world this process is. */
export interface RankIdentity {
  readonly rank: number;
  readonly worldSize: number;
  /** Which of its host's devices the rank uses. @default `rank` modulo the GPUs of the host */
  readonly localRank?: number | undefined;
  readonly masterAddr: string;
  readonly masterPort: number;
}

/**
 * Reads which rank a launcher made this process: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT`.
 *
 * @returns `undefined` when neither `RANK` nor `WORLD_SIZE` is set: no launcher started this process.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` naming the variable.
 */
export function readRankIdentity(env: Environment): RankIdentity | undefined {
  if (!env.RANK && !env.WORLD_SIZE) return undefined;
  const rank = requiredInteger(env, 'RANK', 0);
  const worldSize = requiredInteger(env, 'WORLD_SIZE', 1);
  if (rank >= worldSize) {
    throw invalid(`RANK is ${rank} in a world of ${worldSize}`, 'Count RANK from 0 to WORLD_SIZE - 1');
  }
  if (worldSize > 1 && !env.MASTER_PORT) {
    throw invalid(
      `MASTER_PORT is not set, WORLD_SIZE is ${worldSize}`,
      'Set MASTER_ADDR and MASTER_PORT to the same free address of the host of rank 0 at every rank',
    );
  }
  return {
    rank,
    worldSize,
    localRank: integer(env, 'LOCAL_RANK', 0),
    masterAddr: readMasterAddr(env),
    masterPort: readMasterPort(env) ?? 0,
  };
}

/** `MASTER_ADDR`, where rank 0 listens; an IPv6 address may stand in brackets. @default this host only */
export function readMasterAddr(env: Environment): string {
  return (env.MASTER_ADDR || '127.0.0.1').replace(/^\[(.*)\]$/, '$1');
}

/**
 * The port that the ranks meet at: `MASTER_PORT`, or `undefined` when none is set. Where torchrun's agent listens there
 * itself (it says so in `TORCHELASTIC_USE_AGENT_STORE`), the next one.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`
 */
export function readMasterPort(env: Environment): number | undefined {
  if (env.MASTER_PORT?.startsWith('tcp://')) {
    throw invalid(
      `MASTER_PORT is "${env.MASTER_PORT}": Kubernetes sets it so for a service that is called "master"`,
      'Set MASTER_PORT to a free port of the host of rank 0, or enableServiceLinks of the pod to false',
    );
  }
  const port = integer(env, 'MASTER_PORT', 1, 65_535);
  return port !== undefined && env.TORCHELASTIC_USE_AGENT_STORE === 'True' ? port + 1 : port;
}

/** What the environment gives so that it is in no list of processes. */
export interface Secrets {
  /** `CHECKPOINT_ENGINE_TOKEN`: what the ranks of a world share. */
  readonly token?: string | undefined;
  /** `CHECKPOINT_ENGINE_API_KEY`: what the engine asks for. */
  readonly apiKey?: string | undefined;
}

/** Reads `CHECKPOINT_ENGINE_TOKEN` and `CHECKPOINT_ENGINE_API_KEY`; empty is not set. */
export function readSecrets(env: Environment): Secrets {
  return { token: env.CHECKPOINT_ENGINE_TOKEN || undefined, apiKey: env.CHECKPOINT_ENGINE_API_KEY || undefined };
}

/** The limits on memory that the environment sets. */
export interface MemoryLimits {
  /** `PS_MAX_BUCKET_SIZE_GB`, in bytes. */
  readonly maxBucketBytes?: number | undefined;
  /** `PS_MEM_FRACTION`, more than 0 and at most 1. */
  readonly memFraction?: number | undefined;
}

/**
 * Reads `PS_MAX_BUCKET_SIZE_GB` (in GiB, whatever its name says) and `PS_MEM_FRACTION`.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` naming the variable.
 */
export function readMemoryLimits(env: Environment): MemoryLimits {
  const maxBucketGiB = positive(env, 'PS_MAX_BUCKET_SIZE_GB', 'a number of GiB above 0, such as 8 or 0.5');
  const memFraction = positive(env, 'PS_MEM_FRACTION', 'a share of the free device memory above 0 and up to 1');
  if (memFraction !== undefined && memFraction > 1) {
    throw invalid(`PS_MEM_FRACTION is ${memFraction}, wanted at most 1`, 'Set PS_MEM_FRACTION to a share such as 0.9');
  }
  return {
    maxBucketBytes: maxBucketGiB === undefined ? undefined : Math.floor(maxBucketGiB * 2 ** 30),
    memFraction,
  };
}

function requiredInteger(env: Environment, name: string, least: number): number {
  const value = integer(env, name, least);
  if (value === undefined) {
    throw invalid(
      `${name} is not set, but ${name === 'RANK' ? 'WORLD_SIZE' : 'RANK'} is`,
      'Set both RANK and WORLD_SIZE, or neither and use --nproc-per-node',
    );
  }
  return value;
}

function integer(env: Environment, name: string, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined {
  const text = env[name];
  if (!text) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
    throw invalid(`${name} is "${text}", wanted an integer ${range}`, `Correct ${name} in the environment`);
  }
  return value;
}

function positive(env: Environment, name: string, wanted: string): number | undefined {
  const text = env[name];
  if (!text) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) {
    throw invalid(`${name} is "${text}", wanted ${wanted}`, `Correct ${name} in the environment, or unset it`);
  }
  return value;
}

function invalid(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint);
}
