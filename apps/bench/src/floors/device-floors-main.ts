// Measures pinned copies to every GPU, in a separate process so that no context remains on them.
import process from 'node:process';
import { createCudaDevice, createHostDevice } from '@checkpoint-engine/device';
import type { Device } from '@checkpoint-engine/interface';
import { describeMachine } from '../report/machine.ts';
import { countGpus } from '../world/count-gpus.ts';
import type { DeviceFloors } from './device-floors.ts';
import { measureH2d } from './h2d.ts';

const { kind, count } = JSON.parse(process.argv[2]!) as { kind: 'cuda' | 'host'; count: number };
const gpus = kind === 'cuda' ? await countGpus() : undefined;
const devices: Device[] = [];
for (let index = 0; index < count; index++) {
  // If there are fewer GPUs, ranks share them.
  devices.push(await (gpus ? createCudaDevice({ index: index % gpus }) : createHostDevice({ index })));
}
const alone = await measureH2d(devices[0]!);
const together = count === 1 ? [alone] : await Promise.all(devices.map((device) => measureH2d(device)));
const floors: DeviceFloors = {
  machine: describeMachine(devices[0]!, Math.min(count, gpus ?? count)),
  h2dAloneGBps: alone.rateGBps,
  h2dTogetherGBps: Math.min(...together.map(({ rateGBps }) => rateGBps)),
};
process.send!(floors);
for (const device of devices) await device.close();
process.disconnect();
