// A process with an endpoint, driven over IPC: { id, name, args } gets { id, value } or { id, error }.
import { createHash } from 'node:crypto';
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { rdma } from '@checkpoint-engine/transport-rdma';
import { pattern } from './pattern.mjs';

const device = await createHostDevice();
const transport = rdma(JSON.parse(process.argv[2]));
const endpoint = await transport.open({ device });
const shares = new Map();

const operations = {
  address: () => endpoint.address(),
  async share({ name, sizeBytes, seed }) {
    const memory = await device.allocateHost(sizeBytes, { shared: true });
    memory.view(0, sizeBytes).set(pattern(sizeBytes, seed));
    const registration = await endpoint.register({ memory, offsetBytes: 0, sizeBytes });
    shares.set(name, registration);
    return registration.remote;
  },
  async unregister({ name }) {
    const start = performance.now();
    await shares.get(name).close();
    return performance.now() - start;
  },
  /** Reads a whole range and returns the digest of the received bytes. */
  async read({ peer, remote, timeoutMs }) {
    const { sizeBytes } = remote;
    const memory = await device.allocateHost(sizeBytes, { shared: true });
    try {
      const local = { memory, offsetBytes: 0, sizeBytes };
      await endpoint.read(peer, [{ remote, remoteOffsetBytes: 0, local }], { timeoutMs });
      return createHash('sha256').update(memory.view(0, sizeBytes)).digest('hex');
    } finally {
      memory.close();
    }
  },
  async close() {
    await transport.close();
    await device.close();
    process.disconnect();
  },
};

process.on('message', async ({ id, name, args }) => {
  try {
    const value = await operations[name](args);
    if (process.connected) process.send({ id, value });
  } catch (error) {
    process.send({ id, error: { code: error.code, message: error.message } });
  }
});
process.once('disconnect', () => process.exit(0));
process.send({ id: 0 });
