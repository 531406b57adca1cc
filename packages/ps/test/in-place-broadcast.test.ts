// Two ranks on devices of a kind that the server does not know, over a transport that sends in place only.
import { randomBytes } from 'node:crypto';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import type { BroadcastTransport, Device } from '@checkpoint-engine/interface';
import {
  connectStore,
  type NamedTensor,
  ParameterServer,
  startStoreServer,
  type UpdateOptions,
  type UpdateResult,
  v2Protocol,
} from '@checkpoint-engine/ps';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { expect, it } from 'vitest';

const THROUGH_STORE = new URL('../../../examples/03-own-transport/through-store.mjs', import.meta.url).href;
const { throughStore } = (await import(THROUGH_STORE)) as { throughStore: () => BroadcastTransport };

const KIB = 2 ** 10;
const tensors = Array.from({ length: 24 }, (_, layer): NamedTensor => {
  return { name: `layers.${layer}.weight`, dtype: 'F32', shape: [32, 64], bytes: randomBytes(8 * KIB) };
});

/** A device of another vendor, which appears to the server to have its own memory. */
function ofOtherKind(device: HostDevice): Device {
  const own: Pick<Device, 'kind' | 'supports'> = { kind: 'hip', supports: { hostAddressable: false, pinning: false } };
  return new Proxy<Device>(device, {
    get(target, key) {
      if (key === 'kind' || key === 'supports') return own[key];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

it('an update over a transport without out-of-place sends uses no staging, and delivers every byte', async () => {
  const hosts = [await createHostDevice({ index: 0 }), await createHostDevice({ index: 1 })];
  const devices = hosts.map(ofOtherKind);
  const workers = devices.map((device) => copyingWorker({ device }));
  const rendezvous = await startStoreServer({ host: '127.0.0.1', port: 0, worldSize: 2 });
  const requestEngine: UpdateOptions['requestEngine'] = async ({ handles, signal }) => {
    const receive = async (device: Device, index: number) =>
      workers[index]!.receive(await receiveUpdate(handles[device.uuid]!, { device, signal }));
    await Promise.all(devices.map(receive));
  };
  const runRank = async (rank: number): Promise<UpdateResult> => {
    const store = await connectStore({ rank, worldSize: 2, address: rendezvous.address });
    const device = devices[rank]!;
    const server = await ParameterServer.create({ store, device, broadcast: throughStore(), protocol: v2Protocol() });
    const own = tensors.filter((_, index) => index % 2 === rank);
    await server.registerCheckpoint('a', { tensors: own });
    await server.gatherMetas('a');
    const result = await server.update('a', { requestEngine, bucketBytes: 16 * KIB });
    await server.close();
    await store.close();
    return result;
  };
  const results = await Promise.all([runRank(0), runRank(1)]);
  for (const { bucketCount, stagingSlots } of results) {
    expect(bucketCount).toBeGreaterThan(8);
    expect(stagingSlots).toBe(0);
  }
  for (const worker of workers) {
    for (const { name, bytes } of tensors) {
      expect(Buffer.compare(Buffer.from(worker.tensors.get(name)!.bytes()), bytes), name).toBe(0);
    }
    await worker.close();
  }
  await rendezvous.close();
  for (const host of hosts) await host.close();
});
