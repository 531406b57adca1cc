// A parameter server for tests that is killed during an update.
import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { silentLogger } from '@checkpoint-engine/interface';
import { v2Protocol } from '@checkpoint-engine/ps';

const tell = (event, fields = {}) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
const device = await createHostDevice();
const buffer = await device.allocateShared(1 << 20);
const session = await v2Protocol().createSession({
  deviceUuid: device.uuid,
  deviceKind: device.kind,
  updateId: 'killed',
  counter: 1,
  rank: 0,
  slots: 1,
  checkpoint: 'test',
  timeoutMs: 20_000,
  logger: silentLogger,
});
tell('address', { address: session.address });
const call = { signal: new AbortController().signal };
await session.open(buffer, call);
await session.reload({ index: 0, tensors: [] }, call);
tell('streaming');
