import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type SharedMemory, silentLogger } from '@checkpoint-engine/interface';
import { DTYPES, torchType } from '@checkpoint-engine/meta';
import { afterAll, describe, expect, it } from 'vitest';
import type { BucketTensor, WorkerSession } from '../src/session.ts';
import { v1Protocol } from '../src/v1/index.ts';
import { python, reasonToSkip, scriptPath } from './v1-python.ts';

const reason = reasonToSkip('torch', 'zmq', 'checkpoint_engine.worker');
const path = `/dev/shm/ce-v1-interop-${process.pid}`;
const bytes = randomBytes(1024 * 1024);
const call = { signal: new AbortController().signal };
const handle = Uint8Array.from(randomBytes(64));
const buffer: SharedMemory = {
  kind: 'device',
  address: 1n,
  sizeBytes: bytes.length,
  handle,
  close: () => {},
  [Symbol.dispose]: () => {},
};
// Bytes per element; torch stores two F4 elements in one byte.
const itemBytes = (dtype: string): number =>
  dtype === 'F4' ? 0.5 : Number(/\d+/.exec(dtype.replace('BOOL', '8'))![0]) / 8;

const tensors = DTYPES.filter((dtype) => !dtype.startsWith('F6')).flatMap((dtype, row): BucketTensor[] =>
  [[6, 10], [8], [2, 1, 3, 4], [0, 4]].map((shape, column) => ({
    name: `${dtype} "${column}" é\n`,
    dtype,
    shape,
    offsetBytes: row * 4096 + column * 1024,
    sizeBytes: shape.reduce((product, length) => product * length, 1) * itemBytes(dtype),
  })),
);

async function start(counter: number): Promise<{ session: WorkerSession; lines: AsyncIterableIterator<string> }> {
  const place = { deviceKind: 'cuda', deviceUuid: `GPU-interop-${process.pid}`, rank: 0 };
  const options = { ...place, updateId: 'u', slots: 1, checkpoint: 'c' };
  const session = await v1Protocol().createSession({ ...options, counter, timeoutMs: 50_000, logger: silentLogger });
  const child = spawn(python, [scriptPath('v1-interop.py'), session.address, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { session, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

async function rest(lines: AsyncIterableIterator<string>): Promise<object[]> {
  const events: object[] = [];
  for await (const line of lines) events.push(JSON.parse(line) as object);
  return events;
}

afterAll(() => rmSync(path, { force: true }));

describe.skipIf(reason)(`the Python tool's own worker${reason ? ` (skipped: ${reason})` : ''}`, () => {
  it('reads every dtype bit for bit', async () => {
    writeFileSync(path, bytes);
    const { session, lines } = await start(0);
    await session.open(buffer, call);
    await session.reload({ index: 0, tensors }, call);
    await session.reload({ index: 1, tensors: tensors.slice(0, 3) }, call);
    await session.finish(call);
    await session.close();
    const seen = (tensor: BucketTensor): object => ({
      event: 'tensor',
      name: tensor.name,
      dtype: `torch.${torchType(tensor).dtype}`,
      shape: torchType(tensor).shape,
      sha256: createHash('sha256')
        .update(bytes.subarray(tensor.offsetBytes, tensor.offsetBytes + tensor.sizeBytes))
        .digest('hex'),
    });
    expect(await rest(lines)).toEqual([
      { event: 'open', handle: Buffer.from(handle).toString('hex'), size: bytes.length },
      ...[...tensors, ...tensors.slice(0, 3)].map(seen),
      { event: 'hook' },
      { event: 'end' },
    ]);
  });

  it('replies with a traceback for an invalid offset, and ends when it is told to', async () => {
    writeFileSync(path, bytes);
    const { session, lines } = await start(1);
    await session.open(buffer, call);
    const odd = { name: 'odd', dtype: 'F32', shape: [2], offsetBytes: 1, sizeBytes: 8 } as const;
    await expect(session.reload({ index: 0, tensors: [odd] }, call)).rejects.toMatchObject({
      code: 'CE_WORKER_FAILED',
      detail: expect.stringContaining('checkpoint_engine/worker.py'),
    });
    await session.fail(new Error('offset'));
    await session.close();
    expect((await rest(lines)).at(-1)).toEqual({
      event: 'raised',
      type: 'RuntimeError',
      text: 'checkpoint-engine: the update failed: offset',
    });
  });
});
