// A server under Deno that updates a worker on request, with the permissions in package.json.
import { createHostDevice } from '@checkpoint-engine/device';
import { type EngineRequest, localStore, ParameterServer, v2Protocol } from '@checkpoint-engine/ps';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';

const device = await createHostDevice();
const worker = copyingWorker({ device }); // in place of an inference engine
const server = await ParameterServer.create({ store: localStore(), device, protocol: v2Protocol() });

async function requestEngine({ handles, signal }: EngineRequest): Promise<void> {
  await worker.receive(await receiveUpdate(handles[device.uuid]!, { device, signal }));
}

/** `PUT /NAME` with a tensor's bytes loads them into the worker. */
async function handle(request: Request): Promise<Response> {
  const name = new URL(request.url).pathname.slice(1);
  const bytes = await request.bytes();
  await server.registerCheckpoint(name, { tensors: [{ name, dtype: 'U8', shape: [bytes.length], bytes }] });
  await server.gatherMetas(name);
  const { totalBytes, durationsMs } = await server.update(name, { requestEngine });
  await server.unregisterCheckpoint(name);
  return Response.json({ totalBytes, durationsMs });
}

const http = Deno.serve({ hostname: '127.0.0.1', port: 0, onListen: () => {} }, handle);
const body = crypto.getRandomValues(new Uint8Array(65_536));
const response = await fetch(`http://127.0.0.1:${http.addr.port}/embedding`, { method: 'PUT', body });
const { totalBytes } = await response.json();
const held = worker.tensors.get('embedding')!.bytes();
if (totalBytes !== body.length || body.some((byte, index) => byte !== held[index])) throw new Error('Bytes differ');

await http.shutdown();
await server.close();
await worker.close();
await device.close();
console.log(`The worker holds ${body.length} bytes that arrived over HTTP`);
