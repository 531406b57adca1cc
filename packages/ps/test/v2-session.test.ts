import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import process from 'node:process';
import type { SharedMemory } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkerSession } from '../src/session.ts';
import { call, createSession, RawCaller } from './v2-support.ts';

const device = { kind: 'cuda', uuid: 'GPU-00000000-1111-2222-3333-444444444444' };
const buffer: SharedMemory = {
  kind: 'device',
  address: 1n,
  sizeBytes: 4096,
  handle: Uint8Array.from([1, 2, 3]),
  close: () => {},
  [Symbol.dispose]: () => {},
};
const bucket = (index: number) => ({
  index,
  tensors: [{ name: 'w', dtype: 'BF16' as const, shape: [2, 2], offsetBytes: 256, sizeBytes: 8 }],
});
const isListening = (address: string): boolean =>
  readFileSync('/proc/net/unix', 'utf8').includes(`@${/^ce2:(.+)\?/.exec(address)![1]}`);

describe('v2Protocol, sender side', () => {
  let session: WorkerSession;
  const callers: RawCaller[] = [];
  const newCaller = (): RawCaller => {
    const caller = new RawCaller(session.address);
    callers.push(caller);
    return caller;
  };

  beforeEach(async () => {
    session = await createSession(device, { slots: 3, timeoutMs: 5_000 });
  });
  afterEach(async () => {
    await session.close();
    for (const caller of callers.splice(0)) caller.socket.destroy();
    expect(isListening(session.address)).toBe(false);
  });

  it('completes a session, limits credits, and accepts acknowledgements in any order', async () => {
    expect(session.address).toMatch(/^ce2:ce2-GPU-0{8}-1111-2222-3333-4{12}-update-7-[0-9a-f]+\?key=[0-9a-f]{64}$/);
    expect(isListening(session.address)).toBe(true);
    const opening = session.open(buffer, call);
    const caller = newCaller();
    await once(caller.socket, 'connect');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(caller.received).toEqual([]); // nothing is sent before the key
    caller.hello();
    const [welcome] = await caller.messages(1);
    expect(welcome).toEqual({
      type: 'welcome',
      protocol: 2,
      checkpoint: 'test',
      updateId: 'update-7',
      rank: 3,
      deviceKind: 'cuda',
      deviceUuid: device.uuid,
      handle: buffer.handle,
      sizeBytes: 4096,
      slots: 3,
    });
    caller.say({ type: 'ready', credits: 2 });
    await opening;
    expect(session.maxPending).toBe(2);

    const done: number[] = [];
    const reloads = [0, 1, 2, 3].map((index) => session.reload(bucket(index), call).then(() => done.push(index)));
    await caller.messages(3);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(caller.received.slice(1).map(({ index }) => index)).toEqual([0, 1]); // two credits, two buckets
    expect(caller.received[1]).toEqual({
      type: 'bucket',
      index: 0,
      tensors: { names: ['w'], dtypes: ['BF16'], shapes: [[2, 2]], offsets: [256], sizes: [8] },
    });
    caller.say({ type: 'ack', index: 1 });
    await caller.messages(4);
    expect(done).toEqual([1]);
    for (const index of [2, 0]) caller.say({ type: 'ack', index });
    await caller.messages(5);
    caller.say({ type: 'ack', index: 3 });
    await Promise.all(reloads);

    const phases: string[] = [];
    const finishing = session.finish({ ...call, onPhase: (phase) => phases.push(phase) });
    expect((await caller.messages(6))[5]).toEqual({ type: 'release' });
    expect(phases).toEqual([]);
    caller.say({ type: 'released' });
    expect((await caller.messages(7))[6]).toEqual({ type: 'finish' });
    expect(phases).toEqual(['released']);
    caller.say({ type: 'finished' });
    await finishing;
    expect(phases).toEqual(['released', 'loaded']);
  });

  it('accepts a worker that connected before open, and one with more credits than slots', async () => {
    const caller = newCaller();
    caller.hello();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(caller.received).toEqual([]);
    const opening = session.open(buffer, call);
    await caller.messages(1);
    caller.say({ type: 'ready', credits: 100 });
    await opening;
    expect(session.maxPending).toBe(3);
  });

  it('rejects a wrong key and continues to wait for the right one', async () => {
    const opening = session.open(buffer, call);
    for (const key of ['', '0'.repeat(64), 42]) {
      const other = newCaller();
      other.hello({ key });
      await other.closed;
      expect(other.received).toMatchObject([{ type: 'abort', error: { code: 'CE_TOKEN_REFUSED' } }]);
    }
    const caller = newCaller();
    caller.hello();
    await caller.messages(1);
    caller.say({ type: 'ready', credits: 1 });
    await opening;
  });

  it('names both versions if the worker uses another protocol', async () => {
    const opening = expect(session.open(buffer, call)).rejects.toMatchObject({
      code: 'CE_WORKER_PROTOCOL',
      message: expect.stringMatching(/protocol 2, the worker 3/),
      rank: 3,
    });
    const caller = newCaller();
    caller.hello({ protocol: 3 });
    await opening;
    expect((await caller.messages(1))[0]).toMatchObject({ type: 'abort', error: { code: 'CE_WORKER_PROTOCOL' } });
  });

  it.each([
    ['an unknown type', { type: 'dance' }, /unknown type "dance"/],
    ['an acknowledgement of nothing', { type: 'ack', index: 9 }, /"ack 9", which nothing waits for/],
    ['a list', { type: 'ack', index: [1] }, /"ack object", which nothing waits for/],
    ['a second hello', { type: 'hello' }, /unknown type "hello"/],
  ])('ends the session on %s', async (_, message, text) => {
    const opening = session.open(buffer, call);
    const caller = newCaller();
    caller.hello();
    await caller.messages(1);
    caller.say({ type: 'ready', credits: 1 });
    await opening;
    const reload = session.reload(bucket(0), call);
    caller.say(message);
    await expect(reload).rejects.toMatchObject({
      code: 'CE_WORKER_PROTOCOL',
      message: expect.stringMatching(text),
    });
    await expect(reload).rejects.toThrow(/server uses protocol 2, the worker 2/);
  });

  it('refuses a second worker and keeps the first', async () => {
    const opening = session.open(buffer, call);
    const first = newCaller();
    first.hello();
    await first.messages(1);
    const second = newCaller();
    second.hello();
    expect((await second.messages(1))[0]).toMatchObject({ type: 'abort', error: { code: 'CE_WORKER_PROTOCOL' } });
    first.say({ type: 'ready', credits: 1 });
    await opening;
  });

  it('passes on the error of a worker', async () => {
    const opening = session.open(buffer, call);
    const caller = newCaller();
    caller.hello();
    await caller.messages(1);
    caller.say({ type: 'error', error: { code: 'CE_DEVICE_FAILED', message: 'no IPC', hint: 'h', detail: 'stack' } });
    await expect(opening).rejects.toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringContaining('no IPC'),
      detail: 'stack',
      rank: 3,
      cause: { code: 'CE_DEVICE_FAILED' },
    });
    await session.fail(new Error('over'));
    await caller.closed;
    expect(caller.received.at(-1)).toMatchObject({ type: 'abort', error: { message: 'over' } });
  });

  it('reports at once that the worker disconnected, to all pending and later calls', async () => {
    const opening = session.open(buffer, call);
    const caller = newCaller();
    caller.hello();
    await caller.messages(1);
    caller.say({ type: 'ready', credits: 2 });
    await opening;
    const reloads = [0, 1, 2].map((index) => session.reload(bucket(index), call));
    const settled = Promise.allSettled(reloads);
    await caller.messages(3);
    caller.socket.destroy();
    for (const result of await settled) expect(result).toMatchObject({ reason: { code: 'CE_WORKER_LOST' } });
    await expect(session.finish(call)).rejects.toMatchObject({ code: 'CE_WORKER_LOST' });
  });

  it('times out, and names the device and what to check', async () => {
    const short = await createSession(device, { timeoutMs: 40 });
    await expect(short.open(buffer, call)).rejects.toMatchObject({
      code: 'CE_WORKER_TIMEOUT',
      message: expect.stringMatching(/GPU-0{8}.* did not connect within 40 ms/),
      hint: expect.stringContaining('network namespace'),
    });
    await short.close();
  });

  it('ends a wait when the signal fires', async () => {
    const controller = new AbortController();
    const opening = session.open(buffer, { signal: controller.signal });
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(opening).rejects.toMatchObject({ code: 'CE_ABORTED', cause: reason });
  });

  it('tells the worker, and one that connects too late, why it failed', async () => {
    const caller = newCaller();
    caller.hello();
    const opening = session.open(buffer, call);
    await caller.messages(1);
    const failing = session.fail(new Error('rank 5 died'));
    await expect(opening).rejects.toThrow('rank 5 died');
    const late = newCaller();
    late.hello();
    expect((await late.messages(1))[0]).toMatchObject({ type: 'abort', error: { message: 'rank 5 died' } });
    await failing;
    await caller.closed;
  });

  it('leaves nothing behind, however often it is closed, and rejects pending calls', async () => {
    const opening = session.open(buffer, call);
    const other = newCaller();
    await once(other.socket, 'connect');
    const caught = expect(opening).rejects.toMatchObject({ code: 'CE_CLOSED' });
    await Promise.all([session.close(), session.close()]);
    await session.close();
    await caught;
    await other.closed;
  });

  it('accepts the worker among many unknown peers that send nothing, too much, or too little', async () => {
    const opening = session.open(buffer, call);
    const [, name] = /^ce2:(.+)\?/.exec(session.address)!;
    const peers = Array.from({ length: 400 }, (_, i) => {
      const socket = connect({ path: `\0${name}` }).on('error', () => {});
      if (i % 4 === 1) socket.write(new Uint8Array(2 ** 20).fill(0xff));
      if (i % 4 === 2) socket.write(Uint8Array.of(0, 16, 0, 0, 0xdd, 1, 0xc9));
      return socket.resume();
    });
    await expect.poll(() => peers.filter(({ destroyed }) => destroyed).length).toBeGreaterThanOrEqual(400 - 140);
    const caller = newCaller();
    caller.hello();
    await caller.messages(1);
    caller.say({ type: 'ready', credits: 1 });
    await opening;
    for (const socket of peers) socket.destroy();
  });

  it.each([{ credits: { toString: 1 } }, { credits: [] }, { credits: '1' }, {}])(
    'explains what is wrong with the "ready" message %j',
    async (fields) => {
      const opening = session.open(buffer, call);
      const caller = newCaller();
      caller.hello();
      await caller.messages(1);
      caller.say({ type: 'ready', ...fields });
      await expect(opening).rejects.toMatchObject({ code: 'CE_WORKER_PROTOCOL' });
    },
  );

  it('survives garbage: unknown peers are disconnected, memory stays bounded, the worker can still connect', async () => {
    const opening = session.open(buffer, call);
    const before = process.memoryUsage();
    let state = 1;
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    for (let round = 0; round < 300; round += 1) {
      const [, name] = /^ce2:(.+)\?/.exec(session.address)!;
      const socket = connect({ path: `\0${name}` });
      socket.on('error', () => {});
      const closed = once(socket, 'close');
      const garbage = Uint8Array.from({ length: 4 + Math.floor(random() * 200) }, () => Math.floor(random() * 256));
      // A third of the frames have an honest size, so that the decoder sees them too.
      if (round % 3 === 0) new DataView(garbage.buffer).setUint32(0, garbage.length - 4, true);
      socket.resume();
      socket.end(garbage);
      await closed;
    }
    const after = process.memoryUsage();
    expect(after.rss - before.rss).toBeLessThan(200e6);
    const caller = newCaller();
    caller.hello();
    await caller.messages(1);
    caller.say({ type: 'ready', credits: 1 });
    await opening;
    // The worker itself sends a size beyond the bound: found before it is allocated.
    const reload = session.reload(bucket(0), call);
    caller.socket.write(Uint8Array.from([255, 255, 255, 255, 0]));
    await expect(reload).rejects.toMatchObject({ code: 'CE_WORKER_PROTOCOL' });
  });

  describe('with a worker that keeps a version', () => {
    const greet = async (caller: RawCaller, holds: unknown): Promise<void> => {
      const opening = session.open(buffer, call);
      caller.hello({ holds });
      await caller.messages(1);
      caller.say({ type: 'ready', credits: 1 });
      await opening;
    };
    const finish = async (caller: RawCaller): Promise<void> => {
      const finishing = session.finish(call);
      await caller.messages(2);
      caller.say({ type: 'released' });
      await caller.messages(3);
      caller.say({ type: 'finished' });
      await finishing;
    };

    it('confirms the version after the update', async () => {
      const caller = newCaller();
      await greet(caller, 'v1');
      expect(session.held).toBe('v1');
      await finish(caller);
      const confirming = session.confirm!('v2', call);
      expect((await caller.messages(4)).slice(2)).toEqual([
        { type: 'finish', confirms: true },
        { type: 'confirm', version: 'v2' },
      ]);
      caller.say({ type: 'confirmed' });
      await confirming;
    });

    it("reports a failure between the worker's end and the confirmation", async () => {
      const caller = newCaller();
      await greet(caller, 'unknown');
      await finish(caller);
      const failing = session.fail(new Error('another rank was lost'));
      expect((await caller.messages(4))[3]).toMatchObject({
        type: 'abort',
        error: { message: expect.stringContaining('lost') },
      });
      caller.socket.end();
      await failing;
      await expect(session.confirm!('v2', call)).rejects.toMatchObject({ message: 'another rank was lost' });
    });

    it('fails if the worker dies before it has acknowledged the version', async () => {
      const caller = newCaller();
      await greet(caller, 'v1');
      await finish(caller);
      const confirming = session.confirm!('v2', call);
      await caller.messages(4);
      caller.socket.destroy();
      await expect(confirming).rejects.toMatchObject({ code: 'CE_WORKER_LOST', rank: 3 });
    });

    it('ends the session if the worker confirms before it is told to', async () => {
      const caller = newCaller();
      await greet(caller, 'v1');
      const finishing = session.finish(call);
      await caller.messages(2);
      caller.say({ type: 'released' });
      await caller.messages(3);
      caller.say({ type: 'confirmed' });
      caller.say({ type: 'finished' });
      await expect(finishing).rejects.toMatchObject({ code: 'CE_WORKER_PROTOCOL' });
    });

    it.each([
      ['a version', 'v7', 'v7'],
      ['unknown to the worker', 'unknown', 'unknown'],
      ['an invalid version', 'v 7', 'unknown'],
      ['too much', 'x'.repeat(1000), 'unknown'],
      ['a number', 7, undefined],
      ['nothing', undefined, undefined],
    ])('accepts the version if it is %s', async (_, holds, held) => {
      const caller = newCaller();
      await greet(caller, holds);
      expect(session.held).toBe(held);
      await finish(caller);
      if (held !== undefined) return;
      // An older worker receives no confirmation, and has disconnected.
      expect(caller.received[2]).toEqual({ type: 'finish' });
      caller.socket.end();
      await session.confirm!('v2', call);
    });
  });

  describe('reopened for a worker that loads again', () => {
    /** A whole update of no buckets. */
    async function wholeUpdate(caller: RawCaller, from: number): Promise<void> {
      const opening = session.open(buffer, call);
      await caller.messages(from + 1);
      caller.say({ type: 'ready', credits: 1 });
      await opening;
      const finishing = session.finish(call);
      await caller.messages(from + 2);
      caller.say({ type: 'released' });
      await caller.messages(from + 3);
      caller.say({ type: 'finished' });
      await finishing;
    }

    it.each(['before', 'after'])('accepts a worker that connects %s it is reopened', async (when) => {
      const first = newCaller();
      first.hello();
      await wholeUpdate(first, 0);
      const early = when === 'before' ? newCaller() : undefined;
      early?.hello();
      if (early) await new Promise((resolve) => setTimeout(resolve, 30));
      await session.reopen!();
      const called = session.untilCalled!(call);
      const second = early ?? newCaller();
      if (!early) second.hello();
      await called;
      await wholeUpdate(second, 0);
      expect(second.received.map(({ type }) => type)).toEqual(['welcome', 'release', 'finish']);
    });

    it('ends the wait for a worker that does not connect, and nothing else', async () => {
      const first = newCaller();
      first.hello();
      await wholeUpdate(first, 0);
      await session.reopen!();
      const answered = new AbortController();
      const called = session.untilCalled!({ signal: answered.signal });
      answered.abort();
      await expect(called).rejects.toMatchObject({ code: 'CE_ABORTED' });
      const second = newCaller();
      second.hello();
      await wholeUpdate(second, 0);
    });

    it('is refused before the update is finished', async () => {
      await expect(session.reopen!()).rejects.toThrow(TypeError);
    });
  });
});
