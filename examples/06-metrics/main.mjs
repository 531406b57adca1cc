// Exports the progress of a running update to Prometheus from your own server. (`createHttpApi` of
// @checkpoint-engine/http is a complete server, which also has metrics of finished updates.)
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createHostDevice } from '@checkpoint-engine/device';
import { localStore, ParameterServer, v2Protocol } from '@checkpoint-engine/ps';
import { copyingWorker, receiveUpdate } from '@checkpoint-engine/worker';
import { Counter, Gauge, register } from 'prom-client';

const bytesDone = new Counter({
  name: 'weights_bytes_total',
  help: 'Bytes that have passed through a stage, counted at the end of each bucket',
  labelNames: ['stage'],
});
const phase = new Gauge({ name: 'weights_phase', help: 'Current phase of the update', labelNames: ['phase'] });

/** Called for each event of the update. */
function onEvent(event) {
  if (event.type === 'bucket-end') bytesDone.inc({ stage: event.stage }, event.sizeBytes);
  if (event.type === 'phase') {
    phase.reset();
    phase.set({ phase: event.phase }, 1);
  }
}

const http = createServer(async (_request, response) => {
  response.setHeader('content-type', register.contentType).end(await register.metrics());
}).listen(0, '127.0.0.1');
await once(http, 'listening');

const device = await createHostDevice();
const worker = copyingWorker({ device });
const server = await ParameterServer.create({ store: localStore(), device, protocol: v2Protocol() });
const tensors = Array.from({ length: 16 }, (_, layer) => {
  return { name: `layers.${layer}.weight`, dtype: 'BF16', shape: [512, 512], bytes: randomBytes(512 * 512 * 2) };
});
await server.registerCheckpoint('step-1', { tensors });
await server.gatherMetas('step-1');
await server.update('step-1', {
  bucketBytes: 2 ** 20,
  requestEngine: async ({ handles }) => worker.receive(await receiveUpdate(handles[device.uuid], { device })),
  onEvent,
});

const scraped = await (await fetch(`http://127.0.0.1:${http.address().port}/metrics`)).text();
console.log(
  scraped
    .split('\n')
    .filter((line) => /^weights_/.test(line))
    .join('\n'),
);

http.close();
await server.close();
await worker.close();
await device.close();
