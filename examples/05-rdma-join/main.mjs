// A rank that joins later reads the weights from the memory of a serving rank, without any work of that rank. It uses
// RDMA if this host has it, otherwise TCP. This example has two worlds in one process; they share only the metas.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import { localStore, ParameterServer, v2Protocol } from '@checkpoint-engine/ps';
import { mooncakeAvailability, rdma } from '@checkpoint-engine/transport-rdma';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';

const mooncake = await mooncakeAvailability();
if (!mooncake.available) {
  console.log(`Missing: ${mooncake.reason.replaceAll('\n', '; ')}`);
  process.exit();
}

async function startRank(index) {
  const device = await createHostDevice({ index });
  const p2p = rdma(); // with several hosts: { host: 'the address at which others reach this host' }
  const server = await ParameterServer.create({ store: localStore(), device, p2p, protocol: v2Protocol() });
  const close = async () => {
    await server.close();
    await p2p.close();
    await device.close();
  };
  return { device, server, close };
}

// The rank that serves has registered a checkpoint. Its metas contain the addresses of its tensors: keep them secret.
const serving = await startRank(0);
const tensors = Array.from({ length: 24 }, (_, layer) => {
  return { name: `layers.${layer}.weight`, dtype: 'BF16', shape: [512, 1024], bytes: randomBytes(512 * 1024 * 2) };
});
await serving.server.registerCheckpoint('step-1', { tensors });
await serving.server.gatherMetas('step-1');
const metas = encodeWorldMetas(serving.server.getMetas('step-1'));

// The rank that joins has none of it. The command's --save-metas-file and --load-metas-file do the same with a file.
const joining = await startRank(1);
const worker = copyingWorker({ device: joining.device });
joining.server.loadMetas(decodeWorldMetas(metas));
const { totalBytes } = await joining.server.update('step-1', {
  requestEngine: async ({ handles }) =>
    worker.receive(await receiveUpdate(handles[joining.device.uuid], { device: joining.device })),
});

for (const { name, bytes } of tensors) assert.ok(bytes.equals(worker.tensors.get(name).bytes()), `${name} differs`);
await worker.close();
await joining.close();
await serving.close();
console.log(`The worker of the rank that joined holds ${totalBytes} bytes that it read from the serving rank`);
