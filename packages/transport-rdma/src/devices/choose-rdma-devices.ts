import { parseNcclIbHca } from './parse-nccl-ib-hca.ts';
import { rdmaDeviceForRank, wrongDevices } from './rdma-device-for-rank.ts';

/** Input of {@link chooseRdmaDevices}. */
export interface RdmaDeviceChoice {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The rank on its host, 0 and up. */
  readonly localRank: number;
  /** Number of ranks on the host, one per GPU. */
  readonly gpuCount: number;
  /** Names of the host's devices, see `listRdmaDevices`. */
  readonly available: readonly string[];
}

/**
 * Chooses the RDMA devices of a rank: its share of those that `PS_P2P_STORE_RDMA_DEVICES` lists, in that order, or else
 * of those that `NCCL_IB_HCA` selects, or else of all.
 *
 * @throws `CE_CONFIG_INVALID` if a listed device does not exist, none is left, or they cannot be divided evenly.
 */
export function chooseRdmaDevices({ env, localRank, gpuCount, available }: RdmaDeviceChoice): string[] {
  const named = (env.PS_P2P_STORE_RDMA_DEVICES ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const unknown = named.filter((name) => !available.includes(name));
  if (unknown.length > 0) {
    throw wrongDevices(
      `PS_P2P_STORE_RDMA_DEVICES has ${unknown.join(', ')}, but this host has ${available.join(', ') || 'no RDMA device'}`,
    );
  }
  const devices = named.length > 0 ? named : parseNcclIbHca(env.NCCL_IB_HCA ?? '', available);
  return rdmaDeviceForRank(localRank, gpuCount, devices).split(',');
}
