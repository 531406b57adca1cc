import { networkInterfaces } from 'node:os';
import { CheckpointEngineError, type P2PTransport } from '@checkpoint-engine/interface';
import type { Environment } from '../config/environment.ts';
import type { DeviceKind, P2PSettings } from '../config/requests.ts';
import { loadPackage } from './load-package.ts';

/** The transport for reads between ranks. */
export interface LoadedP2P {
  readonly transport: P2PTransport;
  /** Names of the NICs that peers use to reach this rank. */
  readonly nics: readonly string[];
}

/** The options of {@link loadP2P}. */
export interface LoadP2POptions {
  readonly settings: P2PSettings;
  readonly deviceKind: DeviceKind;
  readonly localRank: number;
  /** GPUs of this host, which share its NICs. */
  readonly gpuCount: number;
  /** May select the NICs: `PS_P2P_STORE_RDMA_DEVICES`, `NCCL_IB_HCA`. */
  readonly env: Environment;
  /** The secret that the ranks share, also with all worlds that read from each other. */
  readonly token: string | undefined;
}

/** Time that an ending rank waits for peers that read from it. It is sufficient for one bucket, not for all. */
const DRAIN_MS = 5_000;

/**
 * Loads the transport for reads between ranks.
 *
 * @throws {CheckpointEngineError} `CE_PACKAGE_NOT_FOUND`; `CE_CONFIG_INVALID` if the NICs cannot be divided among the
 * ranks, or the host is not an address of this machine.
 */
export async function loadP2P(options: LoadP2POptions): Promise<LoadedP2P> {
  const { settings, deviceKind, localRank, gpuCount, env, token } = options;
  if (settings.transport === 'shm') {
    if (deviceKind !== 'host') {
      throw new CheckpointEngineError(
        'CE_CONFIG_INVALID',
        '--p2p shm requires --device host, but the ranks run on GPUs',
        'Use --p2p tcp between processes of one host, or rdma between hosts',
      );
    }
    const name = '@checkpoint-engine/transport-shm';
    const { shmP2P } = await loadPackage(name, () => import('@checkpoint-engine/transport-shm'), '--p2p shm needs it');
    return { transport: shmP2P({ unregisterTimeoutMs: DRAIN_MS }), nics: [] };
  }
  const name = '@checkpoint-engine/transport-rdma';
  const load = () => import('@checkpoint-engine/transport-rdma');
  const { rdma, listRdmaDevices, chooseRdmaDevices } = await loadPackage(name, load, 'ranks that read by P2P need it');
  const host = addressOf(settings.host);
  const available = settings.transport === 'tcp' ? [] : listRdmaDevices().map(({ name: device }) => device);
  const chooses = settings.transport !== 'tcp' && (available.length > 0 || Boolean(env.PS_P2P_STORE_RDMA_DEVICES));
  const devices = chooses ? chooseRdmaDevices({ env, localRank, gpuCount, available }) : undefined;
  return {
    transport: rdma({ protocol: settings.transport, host, devices, token, drainTimeoutMs: DRAIN_MS }),
    // Over TCP, ranks with the same address share the process that serves it.
    nics: devices ?? [host],
  };
}

/** Returns an address unchanged, and the address of an interface for the interface's name. */
function addressOf(host: string): string {
  const addresses = networkInterfaces()[host];
  if (addresses === undefined) return host;
  const usable = addresses.find(({ family, scopeid }) => family === 'IPv4' || !scopeid) ?? addresses[0];
  if (usable !== undefined) return usable.address;
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `The interface ${host} in --p2p-host has no address`,
    'Use an interface that has an address (see ip address), or the address itself',
  );
}
