import { once } from 'node:events';
import type { MachineDescription } from '../report/machine.ts';
import { message, start } from '../world/children.ts';

/** Rates of pinned copies from the host on this machine, in 1e9 bytes per second and GPU. */
export interface DeviceFloors {
  readonly machine: MachineDescription;
  /** One GPU while the others are idle. */
  readonly h2dAloneGBps: number;
  /** The slowest GPU while all GPUs copy. */
  readonly h2dTogetherGBps: number;
}

/** Measures them, and describes the machine. */
export async function deviceFloors(kind: 'cuda' | 'host', count: number): Promise<DeviceFloors> {
  const child = start('../floors/device-floors-main', [JSON.stringify({ kind, count })]);
  const exited = once(child, 'exit');
  const floors = await message<DeviceFloors>(child);
  await exited;
  return floors;
}
