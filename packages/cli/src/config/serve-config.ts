import { resolve } from 'node:path';
import type { EngineName } from '@checkpoint-engine/engines';
import { MAX_WORLD_SIZE } from '@checkpoint-engine/interface';
import type { LogOptions } from '../output/log-options.ts';
import { configError } from './config-error.ts';
import { type EngineFlags, engineTargets, servingOptions } from './engine-targets.ts';
import {
  type Environment,
  type MemoryLimits,
  readMasterAddr,
  readMasterPort,
  readMemoryLimits,
  readSecrets,
} from './environment.ts';
import { checkHost } from './host-name.ts';
import { loopbackAddress } from './loopback.ts';
import type {
  DeviceKind,
  EngineTargets,
  Method,
  P2PSettings,
  P2PTransportName,
  RankUpdateRequest,
} from './requests.ts';

/** The flags of `serve`, parsed one by one. Durations in milliseconds, sizes in bytes. */
export interface ServeFlags extends LogOptions, Omit<EngineFlags, 'uds'> {
  readonly nprocPerNode: number;
  readonly listen?: string;
  /** The socket to listen on. The `--uds` of `update` is `--engine-uds` here. */
  readonly uds?: string;
  /** A socket for each rank, `{rank}` standing for the rank. */
  readonly rankUds?: string;
  readonly device: DeviceKind | 'auto';
  readonly engineUds?: readonly string[];
  readonly allowPath?: readonly string[];
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly method: Method;
  /** Whether to close NCCL's communicators after each update. */
  readonly releaseCommunicators?: boolean;
  readonly verify: NonNullable<RankUpdateRequest['verify']>;
  readonly graceTime: number;
  readonly reportFolder?: string;
  /** A folder for traces without pages. */
  readonly trace?: string;
  readonly keepReports: number;
  readonly p2p?: P2PTransportName;
  readonly p2pHost: string;
  readonly nnodes: number;
  readonly nodeRank: number;
  readonly masterAddr?: string;
  readonly masterPort?: number;
}

/** The address of the API: a port, or a Unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** The hosts of a world. */
export interface NodesConfig {
  /** Index of this host. Host 0 serves the API. */
  readonly node: number;
  readonly nodeCount: number;
  /** Address of host 0. */
  readonly host: string;
  /** The port through which the hosts connect. Their ranks use the next port. */
  readonly port: number;
  /** The secret that the hosts share. */
  readonly token: string;
}

/** The work of `serve`, checked as a whole. */
export interface ServeConfig {
  readonly nprocPerNode: number;
  /** Absent if all ranks run on this host. */
  readonly nodes?: NodesConfig | undefined;
  readonly device: DeviceKind | 'auto';
  readonly address: ListenAddress;
  /** By rank: sockets with the routes of the Python tool. */
  readonly rankSockets?: readonly string[] | undefined;
  /** The token that clients must send. */
  readonly token?: string | undefined;
  readonly engine: EngineName;
  readonly targets?: EngineTargets | undefined;
  /** The options of engines during updates. */
  readonly serving: Pick<EngineTargets, 'pause' | 'flushCache'>;
  readonly update: Pick<
    RankUpdateRequest,
    'bucketBytes' | 'deviceMemoryBytes' | 'method' | 'verify' | 'releaseCommunicators'
  >;
  readonly limits: MemoryLimits;
  /** Absent if no rank reads from another. */
  readonly p2p?: P2PSettings | undefined;
  /** Address or interface of this host that P2P peers can reach. */
  readonly p2pHost: string;
  readonly allowedRoots?: readonly string[] | undefined;
  /** Time that a running update may continue after a request to stop. */
  readonly graceMs: number;
  /** The folder for a page and a trace of each update. */
  readonly reports?: { readonly folder: string; readonly keep: number; readonly hasPages: boolean } | undefined;
  readonly log: LogOptions;
}

/** The default port of the API. */
const DEFAULT_PORT = 19_730;

/** Checks the flags against each other and the environment. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function serveConfig(flags: ServeFlags, env: Environment): ServeConfig {
  if (env.RANK || env.WORLD_SIZE) {
    throw configError(
      `RANK=${env.RANK ?? ''} and WORLD_SIZE=${env.WORLD_SIZE ?? ''} show that a launcher starts the ranks, but serve starts them itself`,
      'Start serve once on each host, with --nproc-per-node, and unset RANK and WORLD_SIZE',
    );
  }
  const { token } = readSecrets(env);
  const address = listenAddress(flags);
  if (!('path' in address) && !isLoopback(address.host) && token === undefined) {
    throw configError(
      `--listen ${flags.listen} is reachable from other hosts, but CHECKPOINT_ENGINE_TOKEN is not set`,
      'Set CHECKPOINT_ENGINE_TOKEN to a long random secret (openssl rand -base64 32), or listen on 127.0.0.1',
    );
  }
  const { nprocPerNode } = flags;
  const worldSize = flags.nnodes * nprocPerNode;
  if (worldSize > MAX_WORLD_SIZE) {
    throw configError(
      `${flags.nnodes} hosts with ${nprocPerNode} ranks each are ${worldSize} ranks, expected at most ${MAX_WORLD_SIZE}`,
      'Correct --nnodes or --nproc-per-node',
    );
  }
  const nodes = nodesConfig(flags, env, token);
  const { logLevel, logFormat } = flags;
  return {
    nprocPerNode,
    nodes,
    device: flags.device,
    address,
    rankSockets: rankSockets(flags),
    token,
    engine: flags.engine,
    targets: engineTargets(engineFlags(flags), worldSize, '--engine-uds'),
    serving: servingOptions(engineFlags(flags)),
    update: {
      bucketBytes: flags.bucketSize,
      deviceMemoryBytes: flags.deviceMemory,
      method: flags.method,
      releaseCommunicators: flags.releaseCommunicators,
      verify: flags.verify,
    },
    limits: readMemoryLimits(env),
    p2p: flags.p2p && { transport: flags.p2p, host: flags.p2pHost, needsToken: token !== undefined },
    p2pHost: flags.p2pHost,
    allowedRoots: allowedRoots(flags.allowPath, token),
    graceMs: flags.graceTime,
    reports: reportsConfig(flags),
    log: { logLevel, logFormat },
  };
}

function nodesConfig(flags: ServeFlags, env: Environment, token: string | undefined): NodesConfig | undefined {
  const { nnodes: nodeCount, nodeRank: node } = flags;
  if (node >= nodeCount) {
    throw configError(
      `--node-rank is ${node}, but there are only ${nodeCount} hosts`,
      'Number the hosts with --node-rank from 0 to --nnodes minus 1',
    );
  }
  if (nodeCount === 1) return undefined;
  const host = flags.masterAddr
    ? checkHost(flags.masterAddr, '--master-addr', '--master-port')
    : env.MASTER_ADDR && readMasterAddr(env);
  const port = flags.masterPort ?? readMasterPort(env);
  if (!host || port === undefined) {
    throw configError(
      `--nnodes ${nodeCount} needs --master-addr and --master-port`,
      'Set them to the address of host 0 and a free port on it, the same on all hosts; the next port must be free as well',
    );
  }
  if (token === undefined) {
    throw configError(
      `--nnodes ${nodeCount} needs CHECKPOINT_ENGINE_TOKEN`,
      'Set it to the same long random secret on all hosts (openssl rand -base64 32)',
    );
  }
  const needless = (['listen', 'uds', 'rankUds', 'endpoint', 'engineUds', 'allowPath'] as const).find(
    (flag) => flags[flag],
  );
  if (node > 0 && needless) {
    const name = needless.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw configError(`--${name} is for host 0, but --node-rank is ${node}`, `Remove --${name} here`);
  }
  return { node, nodeCount, host, port, token };
}

function engineFlags({ uds: _, engineUds, ...flags }: ServeFlags): EngineFlags {
  return engineUds ? { ...flags, uds: engineUds } : flags;
}

/** A client with the token should not be able to read every file of this user. */
function allowedRoots(paths: readonly string[] | undefined, token: string | undefined): readonly string[] | undefined {
  if (paths) return paths.map((path) => resolve(path));
  return token === undefined ? undefined : [];
}

function listenAddress({ listen, uds }: ServeFlags): ListenAddress {
  if (listen !== undefined && uds !== undefined) {
    throw configError('--listen and --uds are both given', 'Remove one of them');
  }
  if (uds !== undefined) return { path: uds };
  if (listen === undefined) return { host: loopbackAddress(), port: DEFAULT_PORT };
  const [, v6, name, port] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(listen) ?? [];
  if (port === undefined || Number(port) > 65_535) {
    throw configError(`--listen is "${listen}", expected HOST:PORT`, 'Write it like 127.0.0.1:19730 or [::1]:19730');
  }
  return { host: v6 ?? (name || loopbackAddress()), port: Number(port) };
}

function reportsConfig({ reportFolder, trace, keepReports: keep }: ServeFlags): ServeConfig['reports'] {
  if (reportFolder !== undefined && trace !== undefined) {
    throw configError(
      '--report-folder and --trace are both given',
      'Remove --trace: --report-folder also writes traces',
    );
  }
  if (trace !== undefined) return { folder: trace, keep, hasPages: false };
  return reportFolder === undefined ? undefined : { folder: reportFolder, keep, hasPages: true };
}

function rankSockets({ rankUds, uds, nprocPerNode, nnodes }: ServeFlags): string[] | undefined {
  if (rankUds === undefined) return undefined;
  if (nnodes > 1) {
    throw configError(
      `--rank-uds is given with --nnodes ${nnodes}: the sockets of all ranks would be on the first host`,
      'Remove --rank-uds, and send requests to the API of the whole server',
    );
  }
  if (nprocPerNode > 1 && !rankUds.includes('{rank}')) {
    throw configError(
      `--rank-uds is "${rankUds}" for ${nprocPerNode} ranks`,
      'Write {rank} in place of the rank in the path: /run/checkpoint-engine-{rank}.sock',
    );
  }
  const paths = Array.from({ length: nprocPerNode }, (_, rank) => rankUds.replaceAll('{rank}', `${rank}`));
  if (uds !== undefined && paths.includes(uds)) {
    throw configError(`--uds and --rank-uds are both ${uds}`, 'Use different paths');
  }
  return paths;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
