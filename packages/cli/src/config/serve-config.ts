import { resolve } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { EngineName } from '@checkpoint-engine/ps/engines';
import type { LogOptions } from '../output/log-options.ts';
import type { ListenAddress } from '../serve/listen.ts';
import { type EngineFlags, engineTargets, servingOptions } from './engine-targets.ts';
import {
  type Environment,
  type MemoryLimits,
  readMasterAddr,
  readMasterPort,
  readMemoryLimits,
  readSecrets,
} from './environment.ts';
import type { DeviceKind, EngineTargets, Method, P2PJob, P2PWay, RankUpdateRequest } from './jobs.ts';

/** The flags of `serve`, parsed one by one. Durations in milliseconds, sizes in bytes. */
export interface ServeFlags extends LogOptions, Omit<EngineFlags, 'uds'> {
  readonly nprocPerNode: number;
  readonly listen?: string;
  /** The socket to listen at. What is `--uds` of `update` is `--engine-uds` here. */
  readonly uds?: string;
  readonly device: DeviceKind | 'auto';
  readonly engineUds?: readonly string[];
  readonly allowPath?: readonly string[];
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly method: Method;
  readonly graceTime: number;
  readonly reportFolder?: string;
  readonly keepReports: number;
  readonly p2p?: P2PWay;
  readonly p2pHost: string;
  readonly nnodes: number;
  readonly nodeRank: number;
  readonly masterAddr?: string;
  readonly masterPort?: number;
}

/** The hosts of a world. */
export interface NodesConfig {
  /** Which of them this is, counted from 0. The first one serves the API. */
  readonly node: number;
  readonly nodeCount: number;
  /** Where the first host is. */
  readonly host: string;
  /** Where the hosts meet; their ranks meet at the next port. */
  readonly port: number;
  /** What the hosts share. */
  readonly token: string;
}

/** What `serve` is to do, checked as a whole. */
export interface ServeConfig {
  readonly nprocPerNode: number;
  /** Where ranks run on several hosts. */
  readonly nodes?: NodesConfig | undefined;
  readonly device: DeviceKind | 'auto';
  readonly address: ListenAddress;
  /** Asked of clients. */
  readonly token?: string | undefined;
  readonly engine: EngineName;
  readonly targets?: EngineTargets | undefined;
  /** How engines serve around updates. */
  readonly serving: Pick<EngineTargets, 'pause' | 'flushCache'>;
  readonly update: Pick<RankUpdateRequest, 'bucketBytes' | 'deviceMemoryBytes' | 'strategy'>;
  readonly limits: MemoryLimits;
  /** Absent where nobody reads from anybody. */
  readonly p2p?: P2PJob | undefined;
  /** Address or interface of this host by which P2P peers reach it. */
  readonly p2pHost: string;
  readonly allowedRoots?: readonly string[] | undefined;
  /** How long an update that runs may go on after the server was asked to end. */
  readonly graceMs: number;
  /** Where a page and a trace of each update are written. */
  readonly reports?: { readonly folder: string; readonly keep: number } | undefined;
  readonly log: LogOptions;
}

/** Where the server listens when nothing is said. */
const DEFAULT_ADDRESS = { host: '127.0.0.1', port: 19_730 };

/** Checks the flags against each other and the environment. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function serveConfig(flags: ServeFlags, env: Environment): ServeConfig {
  if (env.RANK || env.WORLD_SIZE) {
    throw invalid(
      `RANK=${env.RANK ?? ''} and WORLD_SIZE=${env.WORLD_SIZE ?? ''} say that a launcher starts the ranks, but serve starts them itself`,
      'Start serve once on each host, with --nproc-per-node, and unset RANK and WORLD_SIZE',
    );
  }
  const { token } = readSecrets(env);
  const address = listenAddress(flags);
  if (!('path' in address) && !isLoopback(address.host) && token === undefined) {
    throw invalid(
      `--listen ${flags.listen} can be reached from other hosts, and CHECKPOINT_ENGINE_TOKEN is not set`,
      'Set CHECKPOINT_ENGINE_TOKEN to a long random secret (openssl rand -base64 32), or listen on 127.0.0.1',
    );
  }
  const nodes = nodesConfig(flags, env, token);
  const { nprocPerNode } = flags;
  const worldSize = flags.nnodes * nprocPerNode;
  const { logLevel, logFormat } = flags;
  return {
    nprocPerNode,
    nodes,
    device: flags.device,
    address,
    token,
    engine: flags.engine,
    targets: engineTargets(engineFlags(flags), worldSize, '--engine-uds'),
    serving: servingOptions(engineFlags(flags)),
    update: {
      bucketBytes: flags.bucketSize,
      deviceMemoryBytes: flags.deviceMemory,
      strategy: flags.method,
    },
    limits: readMemoryLimits(env),
    p2p: flags.p2p && { way: flags.p2p, host: flags.p2pHost, needsToken: token !== undefined },
    p2pHost: flags.p2pHost,
    allowedRoots: allowedRoots(flags.allowPath, token),
    graceMs: flags.graceTime,
    reports: flags.reportFolder === undefined ? undefined : { folder: flags.reportFolder, keep: flags.keepReports },
    log: { logLevel, logFormat },
  };
}

function nodesConfig(flags: ServeFlags, env: Environment, token: string | undefined): NodesConfig | undefined {
  const { nnodes: nodeCount, nodeRank: node } = flags;
  if (node >= nodeCount) {
    throw invalid(`--node-rank is ${node} among ${nodeCount} hosts`, 'Count --node-rank from 0 to --nnodes minus 1');
  }
  if (nodeCount === 1) return undefined;
  const host = flags.masterAddr ?? (env.MASTER_ADDR && readMasterAddr(env));
  const port = flags.masterPort ?? readMasterPort(env);
  if (!host || port === undefined) {
    throw invalid(
      `--nnodes ${nodeCount} needs --master-addr and --master-port`,
      'Give the address of the first host and a free port of it, the same on all hosts; the port after it has to be free, too',
    );
  }
  if (token === undefined) {
    throw invalid(
      `--nnodes ${nodeCount} needs CHECKPOINT_ENGINE_TOKEN`,
      'Set it to the same long random secret on all hosts (openssl rand -base64 32)',
    );
  }
  const needless = (['listen', 'uds', 'endpoint', 'engineUds', 'allowPath'] as const).find((flag) => flags[flag]);
  if (node > 0 && needless) {
    const name = needless.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw invalid(`--${name} is for the first host, and --node-rank is ${node}`, `Leave --${name} out here`);
  }
  return { node, nodeCount, host, port, token };
}

function engineFlags({ uds: _, engineUds, ...flags }: ServeFlags): EngineFlags {
  return engineUds ? { ...flags, uds: engineUds } : flags;
}

/** Who has the token may not be who may read every file of this user. */
function allowedRoots(paths: readonly string[] | undefined, token: string | undefined): readonly string[] | undefined {
  if (paths) return paths.map((path) => resolve(path));
  return token === undefined ? undefined : [];
}

function listenAddress({ listen, uds }: ServeFlags): ListenAddress {
  if (listen !== undefined && uds !== undefined) {
    throw invalid('--listen and --uds are both given', 'Leave one of them out');
  }
  if (uds !== undefined) return { path: uds };
  if (listen === undefined) return DEFAULT_ADDRESS;
  const [, v6, name, port] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(listen) ?? [];
  if (port === undefined || Number(port) > 65_535) {
    throw invalid(`--listen is "${listen}", wanted HOST:PORT`, 'Write it like 127.0.0.1:19730 or [::1]:19730');
  }
  return { host: v6 ?? (name || '127.0.0.1'), port: Number(port) };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function invalid(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint);
}
