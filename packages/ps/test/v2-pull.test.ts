import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import { encodeNeeds, type Needs } from '@checkpoint-engine/interface';
import type { WorkerSession } from '@checkpoint-engine/ps';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { call, createSession, RawCaller } from './v2-support.ts';

const tensor = (name: string, sizeBytes: number) =>
  ({ name, dtype: 'U8', shape: [sizeBytes], sizeBytes, region: 0, offsetBytes: 0 }) as const;
const tensors = [tensor('a', 64), tensor('b', 0), tensor('c', 128)];
const question = { intent: 'update', tensors, metasDigest: 'd' } as const;

const needsOf = (
  boxes: readonly (readonly [number, number, number, number, number])[],
  rest: number[] = [],
): Needs => ({
  tensor: Uint32Array.from(boxes, (box) => box[0]),
  offsetBytes: Float64Array.from(boxes, (box) => box[1]),
  rows: Float64Array.from(boxes, (box) => box[2]),
  rowBytes: Float64Array.from(boxes, (box) => box[3]),
  pitchBytes: Float64Array.from(boxes, (box) => box[4]),
  rest: Uint32Array.from(rest),
});
const part = (fields: object = {}, needs: Needs = needsOf([[0, 0, 1, 64, 64]])) => ({
  ...{ type: 'needs', part: 0, parts: 1 },
  ...encodeNeeds(needs),
  ...fields,
});

/** Invalid needs from a worker, and the server's reaction. */
describe('a session with a worker that pulls', () => {
  let device: HostDevice;
  let session: WorkerSession;
  let caller: RawCaller;

  beforeAll(async () => {
    device = await createHostDevice();
  });
  afterEach(async () => {
    caller.socket.destroy();
    await session.close();
  });
  afterAll(() => device.close());

  async function surveyed(...messages: object[]): Promise<unknown> {
    session = await createSession(device, { timeoutMs: 3_000 });
    caller = new RawCaller(session.address);
    caller.hello({ pull: { version: 1 } });
    const answer = session.pull!.survey(question, call);
    answer.catch(() => {});
    await caller.messages(1);
    for (const message of messages) caller.say(message);
    return await answer;
  }

  it('receives unknown tensors, and is asked once', async () => {
    const answer = surveyed({ type: 'surveyed', known: false, proved: true, fingerprint: 'f' });
    await expect.poll(() => caller.received.length).toBe(2);
    expect(caller.received[0]).toMatchObject({ type: 'survey', tensorCount: 3, metasDigest: 'd', intent: 'update' });
    expect(caller.received[1]).toMatchObject({ type: 'metas', part: 0, parts: 1, names: ['a', 'b', 'c'] });
    caller.say(part());
    expect(await answer).toMatchObject({ proved: true, fingerprint: 'f' });
  });

  it('joins needs that arrive in parts', async () => {
    const answer = await surveyed(
      { type: 'surveyed', known: true, proved: true, fingerprint: 'f' },
      part({ parts: 3 }),
      part({ part: 1, parts: 3 }, needsOf([[2, 0, 4, 8, 32]])),
      part({ part: 2, parts: 3 }, needsOf([], [1])),
    );
    expect(answer).toMatchObject({ needs: { tensor: Uint32Array.of(0, 2), rest: Uint32Array.of(1) } });
  });

  it.each<[string, object[]]>([
    ['a missing tensor', [part({}, needsOf([[3, 0, 1, 4, 4]]))]],
    ['bytes after the end of a tensor', [part({}, needsOf([[0, 60, 1, 8, 8]]))]],
    ['rows after the end of a tensor', [part({}, needsOf([[2, 0, 5, 8, 32]]))]],
    ['a missing rest tensor', [part({}, needsOf([], [9]))]],
    ['columns that differ in length', [part({ offset: new Uint8Array(16) })]],
    ['a column that ends in a number', [part({ tensor: new Uint8Array(3) })]],
    ['a column that is not bytes', [part({ rest: 'all' })]],
    ['too many columns in a list', [part({ rest: [1, 2] })]],
    ['a part out of order', [part({ part: 1, parts: 2 })]],
    ['parts that change their number', [part({ parts: 2 }), part({ part: 1, parts: 3 })]],
    ['more parts than are allowed', [part({ parts: 100_000 })]],
    ['needs twice', [part(), part()]],
  ])('refuses %s', async (_, messages) => {
    const surveying = surveyed({ type: 'surveyed', known: true, proved: true, fingerprint: 'f' }, ...messages);
    const outcome = await surveying
      .then(
        () => session.pull!.map({ digest: 'x', regions: [], places: NO_PLACES }, call),
        (error: unknown) => Promise.reject(error),
      )
      .catch((error: unknown) => error);
    expect(outcome).toMatchObject({ code: 'CE_WORKER_PROTOCOL' });
  });

  it('does not ask a worker that takes buckets only', async () => {
    session = await createSession(device, { timeoutMs: 3_000 });
    caller = new RawCaller(session.address);
    caller.hello();
    expect(await session.pull!.survey(question, call)).toBeUndefined();
    caller.socket.destroy();
    session = await createSession(device, { timeoutMs: 3_000 });
    caller = new RawCaller(session.address);
    caller.hello({ pull: { version: 99 } });
    expect(await session.pull!.survey(question, call)).toBeUndefined();
  });

  it('ends when the worker dies during the comparison after it has finished', async () => {
    await surveyed({ type: 'surveyed', known: true, proved: false, fingerprint: 'f' }, part());
    const finishing = session.finish(call);
    await expect.poll(() => caller.received.at(-1)).toMatchObject({ type: 'finish' });
    caller.say({ type: 'finished' });
    await finishing;
    const proving = session.pull!.prove(undefined, false, call);
    proving.catch(() => {});
    caller.socket.destroy();
    await expect(proving).rejects.toMatchObject({ code: 'CE_WORKER_LOST' });
  });
});

const NONE = new Float64Array(0);
const NO_PLACES = {
  ...{ tensor: new Uint32Array(0), region: new Uint32Array(0) },
  ...{ tensorOffsetBytes: NONE, sizeBytes: NONE, offsetBytes: NONE },
};
