import { type ParameterMeta, type RankMetas, type TensorSpec, tensorBytes } from '@checkpoint-engine/meta';
import { alignUp, balanceByBytes, DEFAULT_ALIGN_BYTES, orderByAffinity } from '@checkpoint-engine/planner';
import { nicsOf } from '../cluster/links.ts';
import type { ClusterTopology } from '../cluster/topology.ts';

/** A tensor with its bytes. */
export interface SizedTensor extends TensorSpec {
  readonly sizeBytes: number;
}

/** Adds their bytes to tensors. */
export const sizedTensors = (tensors: readonly TensorSpec[]): SizedTensor[] =>
  tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape, sizeBytes: tensorBytes(dtype, shape) }));

/** The share of each rank: equal bytes, in pool order, as ranks register a checkpoint's files. */
export function worldMetas(tensors: readonly SizedTensor[], worldSize: number, topology: ClusterTopology): RankMetas[] {
  const owners = balanceByBytes(tensors, worldSize);
  const shares: SizedTensor[][] = Array.from({ length: worldSize }, () => []);
  for (const [index, tensor] of tensors.entries()) shares[owners[index]!]!.push(tensor);
  return shares.map((share, rank) => rankMetas(orderByAffinity(share), rank, topology));
}

/** The metas of one rank whose pool holds tensors in this order. */
export function rankMetas(share: readonly SizedTensor[], rank: number, topology: ClusterTopology): RankMetas {
  let endBytes = 0;
  const tensors = share.map(({ name, dtype, shape, sizeBytes }): ParameterMeta => {
    const offsetBytes = endBytes;
    endBytes += alignUp(sizeBytes, DEFAULT_ALIGN_BYTES);
    return { name, dtype, shape, sizeBytes, region: 0, offsetBytes };
  });
  const host = Math.floor(rank / topology.gpusPerHost);
  return {
    checkpoint: 'simulated',
    rank,
    host: `host-${host}`,
    deviceUuid: `gpu-${rank}`,
    nics: nicsOf(topology, rank % topology.gpusPerHost).map((nic) => `nic${nic}`),
    regions: tensors.length > 0 ? [{ sizeBytes: endBytes }] : [],
    tensors,
  };
}
