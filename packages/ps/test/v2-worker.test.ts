import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { copyingWorker, type IncomingTensor, receiveUpdate } from '@checkpoint-engine/worker';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { call, digestsOf, Sender, testTensor } from './v2-support.ts';

const codeOf = (error: unknown): string => (CheckpointEngineError.isInstance(error) ? error.code : String(error));
const buckets = Array.from({ length: 7 }, (_, b) =>
  Array.from({ length: 5 }, (_, t) => testTensor(`layer.${b}.${t}`, [t + 1, 33], t % 2 ? 'BF16' : 'F32')),
);

describe('sender and worker in one process', () => {
  let device: HostDevice;
  let sender: Sender;
  beforeAll(async () => {
    device = await createHostDevice();
  });
  afterEach(() => sender.close());
  afterAll(() => device.close());

  it('delivers every byte, and reuses its memory in the next update', async () => {
    await using worker = copyingWorker({ device });
    for (const seed of [0, 1]) {
      const sent = buckets.map((bucket) =>
        bucket.map(({ name, shape, dtype }) => testTensor(name, shape, dtype, seed)),
      );
      sender = await Sender.create(device, 64 * 1024, { slots: 3 });
      const before = new Map([...worker.tensors].map(([name, tensor]) => [name, tensor.range.memory]));
      const sending = sender.send(sent);
      await worker.receive(await receiveUpdate(sender.session.address, { device }));
      await sending;
      expect(Object.fromEntries(await worker.digests())).toEqual(digestsOf(sent));
      for (const [name, memory] of before) expect(worker.tensors.get(name)!.range.memory).toBe(memory);
      await sender.close();
    }
  });

  it('iterates over views that end with their bucket', async () => {
    sender = await Sender.create(device, 64 * 1024);
    const sending = sender.send(buckets);
    const update = await receiveUpdate(sender.session.address, { device });
    expect(update).toMatchObject({ checkpoint: 'test', updateId: 'update-7', deviceUuid: device.uuid });
    const kept: { tensor: IncomingTensor; bytes: Uint8Array }[] = [];
    const seen: string[] = [];
    for await (const tensor of update) {
      const bucket = Number(tensor.name.split('.')[1]);
      const source = buckets[bucket]!.find(({ name }) => name === tensor.name)!;
      expect(tensor.shape).toEqual(source.shape);
      expect(tensor.bytes).toEqual(source.bytes);
      for (const old of kept) {
        const isSameBucket = old.tensor.name.split('.')[1] === String(bucket);
        expect(old.bytes.length > 0).toBe(isSameBucket);
      }
      kept.push({ tensor, bytes: tensor.bytes });
      seen.push(tensor.name);
    }
    expect(seen).toEqual(buckets.flat().map(({ name }) => name));
    for (const { tensor, bytes } of kept) {
      expect(bytes.length).toBe(0);
      expect(() => tensor.bytes).toThrow(/Cannot view tensor "layer/);
      expect(() => tensor.range).toThrow(/its memory was released/);
    }
    let hooked = false;
    await update.finished(() => {
      hooked = true;
    });
    await sending;
    expect(hooked).toBe(true);
    await expect(() => update[Symbol.asyncIterator]().next()).rejects.toThrow(TypeError);
  });

  it('views dtypes as typed arrays if JavaScript has them, and as bytes otherwise', async () => {
    const sent = [
      [testTensor('f32', [4]), testTensor('i64', [3], 'I64'), testTensor('bf16', [5], 'BF16')],
      [testTensor('f8', [7], 'F8_E4M3'), testTensor('scalar', []), testTensor('empty', [0, 4])],
    ];
    sender = await Sender.create(device, 4096);
    const sending = sender.send(sent);
    const update = await receiveUpdate(sender.session.address, { device });
    const arrays: Record<string, string> = {};
    for await (const tensor of update) {
      arrays[tensor.name] = `${tensor.toTypedArray().constructor.name} ${tensor.toTypedArray().length}`;
    }
    await update.finished();
    await sending;
    expect(arrays).toEqual({
      f32: 'Float32Array 4',
      i64: 'BigInt64Array 3',
      bf16: 'Uint8Array 10',
      f8: 'Uint8Array 7',
      scalar: 'Float32Array 1',
      empty: 'Float32Array 0',
    });
  });

  it('accepts 20,000 tiny tensors in one bucket', async () => {
    const sent = [Array.from({ length: 20_000 }, (_, at) => testTensor(`t${at}`, [at % 3]))];
    sender = await Sender.create(device, 20_000 * 256);
    await using worker = copyingWorker({ device });
    const sending = sender.send(sent);
    await worker.receive(await receiveUpdate(sender.session.address, { device }));
    await sending;
    expect(Object.fromEntries(await worker.digests())).toEqual(digestsOf(sent));
  });

  it('keeps as many buckets in flight as it has credits, and acknowledges in any order', async () => {
    sender = await Sender.create(device, 64 * 1024, { slots: 4 });
    const opening = sender.session.open(sender.buffer, call);
    const update = await receiveUpdate(sender.session.address, { device, credits: 3 });
    await opening;
    expect(sender.session.maxPending).toBe(3);
    const gates = new Map<number, () => void>();
    const reading = update.forEachBucket((_, index) => new Promise((resolve) => gates.set(index, resolve)));
    const done: number[] = [];
    const placed = [];
    for (const index of [0, 1, 2, 3]) placed.push(await sender.place(index, buckets[index]!));
    const reloads = placed.map(async (message, index) => {
      await sender.session.reload(message, call);
      done.push(index);
    });
    await expect.poll(() => [...gates.keys()].sort()).toEqual([0, 1, 2]);
    gates.get(2)!();
    await expect.poll(() => done).toEqual([2]);
    await expect.poll(() => gates.has(3)).toBe(true);
    for (const index of [3, 1, 0]) gates.get(index)!();
    await Promise.all(reloads);
    await Promise.all([sender.session.finish(call), reading.then(() => update.finished())]);
  });

  it.each(['break', 'throw'])('fails the update if the loop is left by %s', async (how) => {
    sender = await Sender.create(device, 64 * 1024);
    const sending = sender.send(buckets).catch((error: unknown) => error);
    const update = await receiveUpdate(sender.session.address, { device });
    let view: Uint8Array | undefined;
    const read = async (): Promise<void> => {
      for await (const tensor of update) {
        view = tensor.bytes;
        if (how === 'break') break;
        throw new Error('bad weight');
      }
    };
    if (how === 'break') await read();
    else await expect(read()).rejects.toThrow('bad weight');
    expect(view!.length).toBe(0);
    expect(await sending).toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringContaining('left the loop over the tensors in bucket 0'),
    });
    await sender.session.fail(new Error('over'));
    await update.close();
    expect(update.signal.aborted).toBe(true);
  });

  it('reports the error of a callback to the sender, with its stack, and throws it here', async () => {
    sender = await Sender.create(device, 64 * 1024);
    const sending = sender.send(buckets).catch((error: unknown) => error);
    const update = await receiveUpdate(sender.session.address, { device });
    const thrown = new RangeError('no such layer');
    const reading = update.forEachBucket((_, index) => {
      if (index === 2) throw thrown;
    });
    await expect(reading).rejects.toBe(thrown);
    expect(await sending).toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringContaining('no such layer'),
      detail: expect.stringContaining('v2-worker.test'),
    });
  });

  it('finishes only what was read, and reports the error of the post-load hook to the sender', async () => {
    sender = await Sender.create(device, 64 * 1024);
    const sending = sender.send(buckets).catch((error: unknown) => error);
    const update = await receiveUpdate(sender.session.address, { device });
    await expect(update.finished()).rejects.toThrow(TypeError);
    await update.forEachBucket(() => {});
    const thrown = new Error('no such kernel');
    await expect(
      update.finished(() => {
        throw thrown;
      }),
    ).rejects.toBe(thrown);
    expect(await sending).toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringContaining('no such kernel'),
    });
  });

  it('rejects here when the update fails elsewhere, at once, even during a bucket', async () => {
    sender = await Sender.create(device, 64 * 1024);
    const opening = sender.session.open(sender.buffer, call);
    const update = await receiveUpdate(sender.session.address, { device });
    await opening;
    const reload = sender.session.reload(await sender.place(0, buckets[0]!), call).catch(codeOf);
    const read = async (): Promise<void> => {
      for await (const tensor of update) {
        expect(tensor.bytes.length).toBeGreaterThan(0);
        await new Promise((resolve) => update.signal.addEventListener('abort', resolve));
        expect(tensor.bytes.length).toBeGreaterThan(0); // not taken from under the reader
      }
    };
    const reading = read().catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const failing = sender.session.fail(new CheckpointEngineError('CE_RANK_LOST', 'Rank 5 died', 'Restart it'));
    expect(await reload).toBe('CE_RANK_LOST');
    expect(await reading).toMatchObject({
      code: 'CE_REMOTE_FAILED',
      cause: { code: 'CE_RANK_LOST', message: 'Rank 5 died' },
    });
    await failing;
  });

  it('fails when the signal fires, and after a time without messages', async () => {
    const late = new AbortController();
    for (const options of [{ signal: late.signal }, { timeoutMs: 1_000 }]) {
      sender = await Sender.create(device, 64 * 1024);
      const opening = sender.session.open(sender.buffer, call);
      const update = await receiveUpdate(sender.session.address, { device, ...options });
      await opening;
      const reading = update.forEachBucket(() => {});
      late.abort(new DOMException('late', 'TimeoutError'));
      await expect(reading).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
      await expect(sender.session.reload(await sender.place(0, []), call)).rejects.toMatchObject({
        code: 'CE_WORKER_FAILED',
      });
      await sender.session.close();
      await update.close();
    }
  });

  it('refuses a wrong key, another device, and an address without a listener', async () => {
    sender = await Sender.create(device, 4096);
    const { address } = sender.session;
    await expect(receiveUpdate(address.replace(/.{4}$/, '0000'), { device })).rejects.toMatchObject({
      code: 'CE_TOKEN_REFUSED',
    });
    await expect(receiveUpdate('ipc://@x', { device })).rejects.toThrow(TypeError);
    await expect(receiveUpdate(address, { device, credits: 0 })).rejects.toThrow(RangeError);
    const other = await createHostDevice({ index: 1 });
    const opening = sender.session.open(sender.buffer, call).catch(codeOf);
    const refused = receiveUpdate(address, { device: other }).catch(codeOf);
    expect(await opening).toBe('CE_WORKER_FAILED');
    await sender.session.close();
    expect(await refused).toBe('CE_ENGINE_MISMATCH');
    await other.close();
    await expect(receiveUpdate(address, { device })).rejects.toMatchObject({ code: 'CE_PEER_UNREACHABLE' });
  });
});
