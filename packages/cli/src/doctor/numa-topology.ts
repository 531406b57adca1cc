import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readText } from './read-text.ts';

/** A NUMA node: CPUs with memory of their own. */
export interface NumaNode {
  readonly node: number;
  /** From this node to each node, itself among them. 10 is its own memory, 20 is twice as far. */
  readonly distances: ReadonlyMap<number, number>;
}

/** A GPU of NVIDIA, by its PCI address. */
export interface PciGpu {
  /** `0000:17:00.0` */
  readonly busId: string;
  /** `undefined` where the system does not say. */
  readonly numaNode: number | undefined;
}

const nvidia = '0x10de';
/** A display controller: VGA (0x0300) or 3D (0x0302). */
const displayClass = /^0x03/;

/**
 * The NUMA nodes of this host, in their order; none where the kernel shows none.
 *
 * @param sysfs Where sysfs is mounted.
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
      // A column for each node, in their order.
      const columns = text === '' ? [] : text.split(/\s+/).map(Number);
      return { node, distances: new Map(columns.map((distance, index) => [nodes[index] ?? index, distance])) };
    }),
  );
}

/** The GPUs of NVIDIA on this host's PCI buses, also those that CUDA hides from this process. @param sysfs As above */
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
