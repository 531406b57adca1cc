import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Check } from './check.ts';
import { readText } from './read-text.ts';

const FOLDER = '/sys/class/infiniband';

interface Port {
  readonly device: string;
  readonly port: string;
  readonly state: string;
  readonly rate: string;
  readonly linkLayer: string;
}

/** RDMA devices and their ports. */
export async function checkRdma(): Promise<Check> {
  const about = { id: 'rdma', title: 'RDMA NICs' };
  const ports = await listPorts();
  if (ports.length === 0) {
    return {
      ...about,
      status: 'optional',
      value: 'none; needed for reads between hosts over RDMA',
      hint: "Load the NIC's driver; in a container pass the devices in: docker run --device=/dev/infiniband",
    };
  }
  const active = ports.filter(({ state }) => state === 'ACTIVE');
  const value = ports
    .map(({ device, port, state, rate, linkLayer }) => `${device}:${port} ${state} ${rate} ${linkLayer}`)
    .join(', ');
  if (active.length > 0) return { ...about, status: 'found', value, details: { ports } };
  return { ...about, status: 'warning', value, hint: 'Bring a port up: none is ACTIVE', details: { ports } };
}

async function listPorts(): Promise<Port[]> {
  const ports: Port[] = [];
  for (const device of await list(FOLDER)) {
    for (const port of await list(join(FOLDER, device, 'ports'))) {
      const read = async (name: string): Promise<string> =>
        ((await readText(join(FOLDER, device, 'ports', port, name))) ?? '').trim();
      // The state reads "4: ACTIVE".
      const state = (await read('state')).split(': ').at(-1) || 'unknown';
      ports.push({ device, port, state, rate: await read('rate'), linkLayer: await read('link_layer') });
    }
  }
  return ports;
}

async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch {
    return [];
  }
}
