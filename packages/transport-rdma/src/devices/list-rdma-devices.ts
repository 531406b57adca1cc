import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** An RDMA device of this host. */
export interface RdmaDevice {
  /** `mlx5_0` */
  readonly name: string;
  /** Elastic Fabric Adapter, which Mooncake reaches over libfabric and not over verbs. */
  readonly isEfa: boolean;
  /** Node of the memory that it lies near; `undefined` where the system does not say. */
  readonly numaNode: number | undefined;
  readonly ports: readonly RdmaPort[];
}

/** A port of an RDMA device. */
export interface RdmaPort {
  /** 1 and up. */
  readonly number: number;
  readonly active: boolean;
  readonly linkLayer: 'InfiniBand' | 'Ethernet' | 'unknown';
  /** 1e9 bits a second; 0 where the system does not say. */
  readonly rateGbps: number;
}

const amazon = '0x1d0f';

/**
 * The RDMA devices of this host, sorted by name with numbers counted (`mlx5_2` before `mlx5_10`). None where the host
 * has none, or where a container does not show them.
 *
 * @param folder Where the kernel lists them.
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
