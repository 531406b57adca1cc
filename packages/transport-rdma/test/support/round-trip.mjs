// Reads a range back from its own process and prints the digest of the received bytes.
import { createHash } from 'node:crypto';
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { rdma } from '@checkpoint-engine/transport-rdma';
import { pattern } from './pattern.mjs';

const sizeBytes = 5_000_001;
const device = await createHostDevice();
const transport = rdma({ python: process.env.MOONCAKE_PYTHON, protocol: 'tcp' });
const endpoint = await transport.open({ device });
const source = await device.allocateHost(sizeBytes, { shared: true });
source.view(0, sizeBytes).set(pattern(sizeBytes, 1));
const { remote } = await endpoint.register({ memory: source, offsetBytes: 0, sizeBytes });
const target = await device.allocateHost(sizeBytes, { shared: true });
const local = { memory: target, offsetBytes: 0, sizeBytes };
await endpoint.read(await endpoint.address(), [{ remote, remoteOffsetBytes: 0, local }]);
console.log(createHash('sha256').update(target.view(0, sizeBytes)).digest('hex'));
await transport.close();
await device.close();
