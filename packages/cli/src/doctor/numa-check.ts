import { join } from 'node:path';
import type { RdmaDevice } from '@checkpoint-engine/transport-rdma';
import type { Check } from './check.ts';
import { checkWithPackage } from './check-with-package.ts';
import { listNumaNodes, listPciGpus, type NumaNode, type PciGpu } from './numa-topology.ts';

interface Topology {
  readonly nodes: readonly NumaNode[];
  readonly gpus: readonly PciGpu[];
  readonly nics: readonly Pick<RdmaDevice, 'name' | 'numaNode'>[];
}

/**
 * The distance of the RDMA devices from the GPUs, or from the CPUs if there is no GPU. Empty if the kernel reports no
 * NUMA node.
 *
 * @param sysfs The mount point of sysfs.
 */
export async function checkNuma(sysfs: string = '/sys'): Promise<Check[]> {
  const nodes = await listNumaNodes(sysfs);
  if (nodes.length === 0) return [];
  const gpus = await listPciGpus(sysfs);
  const check = await checkWithPackage({
    about: { id: 'numa', title: 'NUMA' },
    need: 'needed for the distance between NICs and GPUs',
    name: '@checkpoint-engine/transport-rdma',
    load: () => import('@checkpoint-engine/transport-rdma'),
    check: ({ listRdmaDevices }) => {
      const nics = listRdmaDevices(join(sysfs, 'class/infiniband')).map(({ name, numaNode }) => ({ name, numaNode }));
      return { status: 'found', value: topologyText({ nodes, gpus, nics }), details: details({ nodes, gpus, nics }) };
    },
  });
  return [check];
}

/** One line per node that has GPUs (or per node, if none has), with the distance to each RDMA device. */
function topologyText({ nodes, gpus, nics }: Topology): string {
  if (nodes.length === 1) return '1 node: all NICs are equally near';
  if (nics.length === 0) return `${nodes.length} nodes, but no RDMA NIC`;
  const withGpus = nodes.filter(({ node }) => gpus.some(({ numaNode }) => numaNode === node));
  const placed = nics.filter(({ numaNode }) => numaNode !== undefined);
  const lines = (withGpus.length > 0 ? withGpus : nodes).map(({ node, distances }) => {
    const own = gpus.filter(({ numaNode }) => numaNode === node).map(({ busId }) => busId);
    const distanceTo = ({ numaNode }: (typeof placed)[number]): number => distances.get(numaNode!) ?? Infinity;
    const far = placed
      .toSorted((a, b) => distanceTo(a) - distanceTo(b))
      .map((nic) => `${nic.name} ${distances.get(nic.numaNode!) ?? 'unknown'}`);
    return `node ${node}${own.length > 0 ? `, GPU ${own.join(' ')}` : ''}: ${far.join(', ') || 'no NIC reports its node'}`;
  });
  const unplaced = [
    ...gpus.filter(({ numaNode }) => numaNode === undefined).map(({ busId }) => `GPU ${busId}`),
    ...nics.filter(({ numaNode }) => numaNode === undefined).map(({ name }) => name),
  ];
  return [
    `${nodes.length} nodes, distance to each NIC (10 is the same node):`,
    ...lines,
    ...(unplaced.length > 0 ? [`at an unknown node: ${unplaced.join(', ')}`] : []),
  ].join('\n');
}

function details({ nodes, gpus, nics }: Topology): Record<string, unknown> {
  return {
    nodes: nodes.map(({ node, distances }) => ({ node, distances: Object.fromEntries(distances) })),
    gpus,
    nics,
  };
}
