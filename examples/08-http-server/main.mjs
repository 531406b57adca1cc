// The HTTP API of one parameter server, in your own program. `vllmEngine({ endpoints })` and the other clients of
// @checkpoint-engine/ps replace `engine` if there is an inference engine.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHostDevice } from '@checkpoint-engine/device';
import { createHttpApi, serverWorld } from '@checkpoint-engine/http';
import { localStore, ParameterServer } from '@checkpoint-engine/ps';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { serve } from '@hono/node-server';

const device = await createHostDevice();
const worker = copyingWorker({ device });
const server = await ParameterServer.create({ store: localStore(), device });

/** An engine in this process: it gets the addresses, and its worker receives the weights. */
const engine = {
  name: 'in-process',
  workers: 'v2',
  async ready() {},
  async update({ handles, signal }) {
    await worker.receive(await receiveUpdate(handles[device.uuid], { device, signal }));
  },
};

const api = createHttpApi(serverWorld({ server, device, engineOf: () => engine }));
const http = await new Promise((resolve) => {
  const listening = serve({ fetch: api.fetch, hostname: '127.0.0.1', port: 0 }, () => resolve(listening));
});
const url = `http://127.0.0.1:${http.address().port}/v1/checkpoints/step-1`;

// A client registers a safetensors file with one tensor and loads it into the engine.
const folder = mkdtempSync(join(tmpdir(), 'example-'));
const header = JSON.stringify({ weight: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } });
const size = Buffer.alloc(8);
size.writeBigUInt64LE(BigInt(header.length));
writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([size, Buffer.from(header), Buffer.of(1, 2, 3, 4)]));

async function post(path, body = {}) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
}
await post('/files', { files: [folder] });
await post('/gather-metas');
await post('/update');
console.log(`The engine holds ${worker.tensors.get('weight').bytes().join(', ')}`);

api.close();
http.close();
await server.close();
await worker.close();
await device.close();
rmSync(folder, { recursive: true });
