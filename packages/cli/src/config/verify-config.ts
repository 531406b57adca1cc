import type { LogOptions } from '../output/log-options.ts';
import { checkpointNameOf } from './checkpoint-name.ts';
import { configError } from './config-error.ts';
import { type EngineFlags, neededEngineTargets, type SizedEngineTargets } from './engine-targets.ts';
import { type Environment, type MemoryLimits, readMemoryLimits, readSecrets } from './environment.ts';
import { urlFlag } from './flag-values.ts';
import type { DeviceKind } from './requests.ts';

/** The flags of `verify`, parsed one by one. Durations in milliseconds. */
export interface VerifyFlags extends LogOptions, EngineFlags {
  readonly checkpointPath?: string;
  readonly loadMetasFile?: string;
  readonly server?: string;
  readonly serverUds?: string;
  readonly checkpointName?: string;
  readonly nprocPerNode?: number;
  readonly device: DeviceKind | 'auto';
  readonly ranks?: readonly number[];
  readonly sha256?: true;
  readonly strict?: true;
  readonly timeout: number;
  readonly json?: true;
}

/** A checkpoint that ranks of this command compare with. */
export interface VerifySource {
  /** Files to read, or a metas file. */
  readonly from: { readonly path: string; readonly sha256: boolean } | { readonly metasFile: string };
  /** The name of the checkpoint in the output. */
  readonly name: string | undefined;
}

/** A server that compares with one of its checkpoints. */
export interface VerifyServer {
  readonly url: string;
  readonly uds: string | undefined;
  readonly name: string;
  readonly token: string | undefined;
}

/** The work of `verify`, checked as a whole. */
export interface VerifyConfig {
  readonly source: VerifySource | VerifyServer;
  readonly worldSize: number;
  readonly device: DeviceKind | 'auto';
  readonly ranks: readonly number[] | undefined;
  /** Absent if the engines belong to a server. */
  readonly targets: SizedEngineTargets | undefined;
  readonly limits: MemoryLimits;
  readonly timeoutMs: number;
  readonly strict: boolean;
  readonly json: boolean;
  readonly log: LogOptions;
}

/** The host in HTTP requests when only the path of a socket is given. */
const LOCAL_URL = 'http://localhost';

/** Checks the flags against each other. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function verifyConfig(flags: VerifyFlags, env: Environment): VerifyConfig {
  const { nprocPerNode: worldSize = 1, device, ranks, timeout: timeoutMs, strict = false, json = false } = flags;
  const { logLevel, logFormat } = flags;
  const source = sourceOf(flags, env);
  const isServer = 'url' in source;
  if (isServer) checkServerFlags(flags);
  else checkRanks(flags, worldSize);
  return {
    ...{ source, worldSize, device, ranks, timeoutMs, strict, json, log: { logLevel, logFormat } },
    targets: isServer ? undefined : neededEngineTargets(flags, worldSize),
    limits: readMemoryLimits(env),
  };
}

function sourceOf(flags: VerifyFlags, env: Environment): VerifySource | VerifyServer {
  const { checkpointPath, loadMetasFile: metasFile, server, serverUds: uds, checkpointName, sha256 = false } = flags;
  const given = [checkpointPath, metasFile, server ?? uds].filter((value) => value !== undefined);
  if (given.length !== 1) {
    throw configError(
      given.length === 0
        ? 'The checkpoint is missing: none of --checkpoint-path, --load-metas-file and --server is given'
        : 'More than one of --checkpoint-path, --load-metas-file and --server are given',
      'Use one of them: the files, a metas file, or the server that has registered the checkpoint',
    );
  }
  if (sha256 && checkpointPath === undefined) {
    throw configError('--sha256 needs --checkpoint-path', 'Add --checkpoint-path, or remove --sha256');
  }
  if (metasFile !== undefined) return { from: { metasFile }, name: checkpointName };
  if (checkpointPath !== undefined) {
    return { from: { path: checkpointPath, sha256 }, name: checkpointNameOf(checkpointName, checkpointPath) };
  }
  if (checkpointName === undefined) {
    throw configError(
      '--server needs --checkpoint-name',
      'Add --checkpoint-name with the name under which the checkpoint is registered',
    );
  }
  return {
    url: server === undefined ? LOCAL_URL : serverUrl(server),
    uds,
    name: checkpointName,
    token: readSecrets(env).token,
  };
}

function serverUrl(text: string): string {
  try {
    return urlFlag(text);
  } catch {
    throw configError(`--server is "${text}", which is not a URL`, 'Write it like http://127.0.0.1:19730');
  }
}

/** A server has its own ranks and engines. */
function checkServerFlags({ endpoint, uds, nprocPerNode, ranks, inferenceParallelSize }: VerifyFlags): void {
  const flags = {
    '--endpoint': endpoint,
    '--uds': uds,
    '--nproc-per-node': nprocPerNode,
    '--ranks': ranks,
    '--inference-parallel-size': inferenceParallelSize,
  };
  const [flag] = Object.entries(flags).find(([, value]) => value !== undefined) ?? [];
  if (flag === undefined) return;
  throw configError(
    `${flag} does not work with --server, which has its own ranks and engines`,
    `Remove ${flag}, or use --checkpoint-path instead of --server`,
  );
}

function checkRanks({ ranks = [] }: VerifyFlags, worldSize: number): void {
  const unknownRank = ranks.find((rank) => rank >= worldSize);
  if (unknownRank === undefined) return;
  throw configError(
    `--ranks has rank ${unknownRank}, expected ranks below ${worldSize}`,
    'Correct --ranks or --nproc-per-node',
  );
}
