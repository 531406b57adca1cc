import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** An RDMA device of this host. */
export interface RdmaDevice {
  /** Name, such as `mlx5_0`. */
  readonly name: string;
  /** Whether it is an Elastic Fabric Adapter, which Mooncake reaches over libfabric instead of verbs. */
  readonly isEfa: boolean;
  /** Nearest NUMA node; `undefined` if the system does not report it. */
  readonly numaNode: number | undefined;
  readonly ports: readonly RdmaPort[];
}

/** A port of an RDMA device. */
export interface RdmaPort {
  /** Port number, 1 and up. */
  readonly number: number;
  readonly active: boolean;
  readonly linkLayer: 'InfiniBand' | 'Ethernet' | 'unknown';
  /** Rate in units of 1e9 bits per second; 0 if the system does not report it. */
  readonly rateGbps: number;
}

const amazon = '0x1d0f';

/**
 * Lists the RDMA devices of this host, sorted by name in numeric order (`mlx5_2` before `mlx5_10`). The list is empty
 * if the host has none, or if a container hides them.
 *
 * @param folder The kernel's list of the devices.
 */
export function listRdmaDevices(folder: string = '/sys/class/infiniband'): RdmaDevice[] {
  const byNumber = new Intl.Collator('en', { numeric: true });
  return entries(folder)
    .sort(byNumber.compare)
    .map((name) => readDevice(folder, name));
}

function readDevice(folder: string, name: string): RdmaDevice {
  const numaNode = Number.parseInt(read(folder, name, 'device', 'numa_node'), 10);
  const ports = entries(join(folder, name, 'ports'))
    .filter((port) => /^\d+$/.test(port))
    .map((port) => readPort(join(folder, name, 'ports', port), Number(port)));
  return {
    name,
    isEfa: read(folder, name, 'device', 'vendor') === amazon,
    numaNode: numaNode >= 0 ? numaNode : undefined,
    ports: ports.sort((a, b) => a.number - b.number),
  };
}

function readPort(folder: string, number: number): RdmaPort {
  const linkLayer = read(folder, 'link_layer');
  return {
    number,
    active: /ACTIVE$/.test(read(folder, 'state')), // "4: ACTIVE"
    linkLayer: linkLayer === 'InfiniBand' || linkLayer === 'Ethernet' ? linkLayer : 'unknown',
    rateGbps: Number.parseFloat(read(folder, 'rate')) || 0, // "400 Gb/sec (4X NDR)"
  };
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(...path: readonly string[]): string {
  try {
    return readFileSync(join(...path), 'utf8').trim();
  } catch {
    return '';
  }
}
