import { MAX_WORLD_SIZE } from '@checkpoint-engine/interface';
import { configError } from './config-error.ts';
import { checkHost } from './host-name.ts';
import { loopbackAddress } from './loopback.ts';

/** Environment variables, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The rank of this process and the world that it belongs to. */
export interface RankIdentity {
  readonly rank: number;
  readonly worldSize: number;
  /** Index of the rank's device on its host. @default `rank` modulo the number of GPUs of the host */
  readonly localRank?: number | undefined;
  readonly masterAddr: string;
  readonly masterPort: number;
}

/**
 * Reads the rank that a launcher gave this process: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT`.
 *
 * @returns `undefined` if neither `RANK` nor `WORLD_SIZE` is set: no launcher started this process.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` naming the variable.
 */
export function readRankIdentity(env: Environment): RankIdentity | undefined {
  if (!env.RANK && !env.WORLD_SIZE) return undefined;
  const rank = requiredInteger(env, 'RANK', 0, MAX_WORLD_SIZE - 1);
  const worldSize = requiredInteger(env, 'WORLD_SIZE', 1, MAX_WORLD_SIZE);
  if (rank >= worldSize) {
    throw configError(`RANK is ${rank}, but WORLD_SIZE is ${worldSize}`, 'Count RANK from 0 to WORLD_SIZE - 1');
  }
  if (worldSize > 1 && !env.MASTER_PORT) {
    throw configError(
      `MASTER_PORT is not set, but WORLD_SIZE is ${worldSize}`,
      'Set MASTER_ADDR and MASTER_PORT at every rank to the same free address on the host of rank 0',
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

/**
 * `MASTER_ADDR`, where rank 0 listens; an IPv6 address may be in brackets. @default this host only
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`
 */
export function readMasterAddr(env: Environment): string {
  return env.MASTER_ADDR ? checkHost(env.MASTER_ADDR, 'MASTER_ADDR', 'MASTER_PORT') : loopbackAddress();
}

/**
 * The port where the ranks meet: `MASTER_PORT`, or `undefined` if it is not set. If torchrun's agent listens on that
 * port (`TORCHELASTIC_USE_AGENT_STORE` is set), the next port.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`
 */
export function readMasterPort(env: Environment): number | undefined {
  if (env.MASTER_PORT?.startsWith('tcp://')) {
    throw configError(
      `MASTER_PORT is "${env.MASTER_PORT}": Kubernetes sets this value for a service with the name "master"`,
      'Set MASTER_PORT to a free port on the host of rank 0, or set enableServiceLinks of the pod to false',
    );
  }
  const port = integer(env, 'MASTER_PORT', 1, 65_535);
  return port !== undefined && env.TORCHELASTIC_USE_AGENT_STORE === 'True' ? port + 1 : port;
}

/** Secrets. They come from the environment so that they are not visible in the list of processes. */
export interface Secrets {
  /** `CHECKPOINT_ENGINE_TOKEN`: the secret that the ranks of a world share. */
  readonly token?: string | undefined;
  /** `CHECKPOINT_ENGINE_API_KEY`: the key that the engine requires. */
  readonly apiKey?: string | undefined;
}

/**
 * Reads `CHECKPOINT_ENGINE_TOKEN` and `CHECKPOINT_ENGINE_API_KEY`. An empty value counts as not set.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`: clients cannot send the token. The message does not contain it.
 */
export function readSecrets(env: Environment): Secrets {
  const token = env.CHECKPOINT_ENGINE_TOKEN || undefined;
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw configError(
      `CHECKPOINT_ENGINE_TOKEN (${token.length} characters) has spaces, line ends or other characters that no HTTP header can carry`,
      'Check its source: files often end with a line break',
    );
  }
  return { token, apiKey: env.CHECKPOINT_ENGINE_API_KEY || undefined };
}

/** The memory limits in the environment. */
export interface MemoryLimits {
  /** `PS_MAX_BUCKET_SIZE_GB`, in bytes. */
  readonly maxBucketBytes?: number | undefined;
  /** `PS_MEM_FRACTION`, more than 0 and at most 1. */
  readonly memFraction?: number | undefined;
}

/**
 * Reads `PS_MAX_BUCKET_SIZE_GB` (in GiB despite its name) and `PS_MEM_FRACTION`.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` naming the variable.
 */
export function readMemoryLimits(env: Environment): MemoryLimits {
  const maxBucketGiB = positive(env, 'PS_MAX_BUCKET_SIZE_GB', 'a number of GiB above 0, such as 8 or 0.5');
  const memFraction = positive(env, 'PS_MEM_FRACTION', 'a share of the free device memory above 0 and up to 1');
  if (memFraction !== undefined && memFraction > 1) {
    throw configError(
      `PS_MEM_FRACTION is ${memFraction}, expected at most 1`,
      'Set PS_MEM_FRACTION to a share such as 0.9',
    );
  }
  return {
    maxBucketBytes: maxBucketGiB === undefined ? undefined : Math.floor(maxBucketGiB * 2 ** 30),
    memFraction,
  };
}

function requiredInteger(env: Environment, name: string, least: number, most: number): number {
  const value = integer(env, name, least, most);
  if (value === undefined) {
    throw configError(
      `${name} is not set, but ${name === 'RANK' ? 'WORLD_SIZE' : 'RANK'} is`,
      'Set both RANK and WORLD_SIZE, or unset both and use --nproc-per-node',
    );
  }
  return value;
}

/**
 * An integer in a variable, or `undefined` if it is not set or empty.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` naming the variable.
 */
export function integer(
  env: Environment,
  name: string,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const text = env[name];
  if (!text) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw configError(`${name} is "${text}", expected an integer ${range}`, `Correct ${name} in the environment`);
  }
  return value;
}

function positive(env: Environment, name: string, wanted: string): number | undefined {
  const text = env[name];
  if (!text) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) {
    throw configError(`${name} is "${text}", expected ${wanted}`, `Correct ${name} in the environment, or unset it`);
  }
  return value;
}
