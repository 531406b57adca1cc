import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readText } from './read-text.ts';

/** A NUMA node: CPUs with local memory. */
export interface NumaNode {
  readonly node: number;
  /** Distances from this node to all nodes, including itself: 10 is local memory, 20 is twice as far. */
  readonly distances: ReadonlyMap<number, number>;
}

/** An NVIDIA GPU, by its PCI address. */
export interface PciGpu {
  /** `0000:17:00.0` */
  readonly busId: string;
  /** `undefined` if the system does not report it. */
  readonly numaNode: number | undefined;
}

const nvidia = '0x10de';
/** A display controller: VGA (0x0300) or 3D (0x0302). */
const displayClass = /^0x03/;

/**
 * Returns the NUMA nodes of this host, in order; none if the kernel reports none.
 *
 * @param sysfs The mount point of sysfs.
 */
export async function listNumaNodes(sysfs: string): Promise<NumaNode[]> {
  const folder = join(sysfs, 'devices/system/node');
  const nodes = (await entries(folder))
    .map((name) => /^node(\d+)$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
  return Promise.all(
    nodes.map(async (node) => {
      const text = (await readText(join(folder, `node${node}`, 'distance')))?.trim() ?? '';
      // One column per node, in order.
      const columns = text === '' ? [] : text.split(/\s+/).map(Number);
      return { node, distances: new Map(columns.map((distance, index) => [nodes[index] ?? index, distance])) };
    }),
  );
}

/** Returns the NVIDIA GPUs on the PCI buses of this host, including those that CUDA hides. @param sysfs See above */
export async function listPciGpus(sysfs: string): Promise<PciGpu[]> {
  const folder = join(sysfs, 'bus/pci/devices');
  const gpus = await Promise.all(
    (await entries(folder)).sort().map(async (busId) => {
      const read = async (name: string): Promise<string> => ((await readText(join(folder, busId, name))) ?? '').trim();
      if ((await read('vendor')) !== nvidia || !displayClass.test(await read('class'))) return undefined;
      const numaNode = Number.parseInt(await read('numa_node'), 10);
      return { busId, numaNode: numaNode >= 0 ? numaNode : undefined };
    }),
  );
  return gpus.filter((gpu) => gpu !== undefined);
}

async function entries(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
}
