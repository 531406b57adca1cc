import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import process from 'node:process';
import { createHostDevice, type HostDevice, type SharedHostMemory } from '@checkpoint-engine/device';
import { encodeU32, encodeU64 } from '@checkpoint-engine/interface';
import { copyingWorker, receiveUpdate, wholeOf } from '@checkpoint-engine/worker';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

function frame(payload: Uint8Array, claimedBytes = payload.length): Uint8Array {
  const bytes = new Uint8Array(4 + payload.length);
  new DataView(bytes.buffer).setUint32(0, claimedBytes, true);
  bytes.set(payload, 4);
  return bytes;
}

/** Messages of a server that violates the protocol, and the worker's reaction. */
describe('receiveUpdate against a rogue server', () => {
  let device: HostDevice;
  let buffer: SharedHostMemory;
  let server: Server;
  let address: string;
  let greet: (socket: Socket) => void;

  const welcome = (fields: object = {}) =>
    frame(
      encode({
        type: 'welcome',
        protocol: 2,
        checkpoint: 'c',
        updateId: 'u',
        rank: 0,
        deviceKind: 'host',
        deviceUuid: device.uuid,
        handle: buffer.handle,
        sizeBytes: buffer.sizeBytes,
        slots: 2,
        ...fields,
      }),
    );
  const columns = (fields: object = {}) => ({
    names: ['w'],
    dtypes: ['F32'],
    shapes: [[1]],
    offsets: [0],
    sizes: [4],
    ...fields,
  });
  const bucket = (index: number, fields: object = {}) =>
    frame(encode({ type: 'bucket', index, tensors: columns(fields) }));

  beforeAll(async () => {
    device = await createHostDevice();
    buffer = await device.allocateShared(4096);
  });
  beforeEach(async () => {
    const name = `rogue-${randomBytes(60).toString('hex')}`.slice(0, 107);
    address = `ce2:${name}?key=${'0'.repeat(64)}`;
    server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => greet(socket));
    });
    server.listen({ path: `\0${name}` });
    await once(server, 'listening');
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));
  afterAll(() => device.close());

  const receive = async (): Promise<void> => {
    await using update = await receiveUpdate(address, { device, timeoutMs: 5_000 });
    await update.forEachBucket(() => {});
    await update.finished();
  };

  it.each<[string, () => Uint8Array[], RegExp]>([
    ['another protocol', () => [welcome({ protocol: 7 })], /uses protocol 2, the server 7/],
    ['an unknown type', () => [frame(encode({ type: 'dance' }))], /"dance"/],
    ['a bucket for a welcome', () => [bucket(0)], /"bucket" before its welcome/],
    ['no map', () => [frame(encode([1, 2]))], /without a type/],
    ['a giant frame', () => [frame(new Uint8Array(3), 0xffffffff)], /4294967295 bytes/],
    [
      'a list with a false length',
      () => [frame(Uint8Array.from([0x81, 0xa1, 0x61, 0xdd, 0xff, 0xff, 0xff, 0xff]))],
      /not msgpack/,
    ],
    ['a buffer without bytes', () => [welcome({ sizeBytes: 0 })], /"welcome"/],
    ['an extension type', () => [frame(Uint8Array.from([0x81, 0xa1, 0x61, 0xd4, 5, 0]))], /not msgpack/],
    [
      'a prototype',
      () => [frame(Uint8Array.from([0x81, 0xa9, ...new TextEncoder().encode('__proto__'), 0x80]))],
      /not msgpack/,
    ],
    ['lists in lists', () => [frame(new Uint8Array(2 ** 21).fill(0x91))], /not msgpack/],
    ['columns of unequal length', () => [welcome(), bucket(0, { dtypes: [] })], /"bucket"/],
    ['a tensor outside the buffer', () => [welcome(), bucket(0, { offsets: [4096] })], /byte 4100 of a buffer of 4096/],
    ['a negative offset', () => [welcome(), bucket(0, { offsets: [-8] })], /"bucket"/],
    ['a finish out of order', () => [welcome(), frame(encode({ type: 'finish' }))], /"finish" out of order/],
  ])('ends the update on %s', async (_, says, text) => {
    greet = (socket) => {
      for (const bytes of says()) socket.write(bytes);
    };
    await expect(receive()).rejects.toMatchObject({
      code: 'CE_WORKER_PROTOCOL',
      message: expect.stringMatching(text),
    });
  });

  it('names the tensor that is not aligned', async () => {
    greet = (socket) => {
      socket.write(welcome());
      const two = { names: ['v', 'w'], dtypes: ['U8', 'F32'], shapes: [[4], [1]], offsets: [0, 257], sizes: [4, 4] };
      socket.write(bucket(0, two));
    };
    await using update = await receiveUpdate(address, { device, timeoutMs: 5_000 });
    await expect(update.forEachBucket((tensors) => void tensors[1]!.toTypedArray())).rejects.toMatchObject({
      code: 'CE_WORKER_PROTOCOL',
      message: expect.stringContaining('tensor "w" of F32, which are not aligned: 4 bytes at offset 257'),
    });
  });

  it('ends the update when more buckets arrive than it has credits', async () => {
    greet = (socket) => {
      socket.write(welcome());
      socket.once('data', () => {
        for (const index of [0, 1, 2, 3]) socket.write(bucket(index));
      });
    };
    const update = await receiveUpdate(address, { device, timeoutMs: 5_000, credits: 2 });
    await expect.poll(() => update.signal.aborted).toBe(true);
    expect(update.signal.reason).toMatchObject({ code: 'CE_WORKER_PROTOCOL' });
    await update.close();
  });

  it('rejects any bytes, within bounded memory', async () => {
    const before = process.memoryUsage().rss;
    const garbage = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => frame(bytes)),
      fc.anything().map((value) => frame(encode({ type: 'bucket', index: 0, tensors: String(value) }))),
      fc
        .record({ names: fc.anything(), sizes: fc.array(fc.double()), shapes: fc.array(fc.array(fc.integer())) })
        .map((fields) => bucket(0, JSON.parse(JSON.stringify(fields)))),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(garbage, { maxLength: 4 }), fc.boolean(), async (parts, isWelcomed) => {
        greet = (socket) => {
          if (isWelcomed) socket.write(welcome());
          for (const part of parts) socket.write(part);
          socket.end();
        };
        await expect(receive()).rejects.toMatchObject({
          code: expect.stringMatching(/^CE_(WORKER_PROTOCOL|PEER_LOST)$/),
        });
      }),
      { numRuns: 150 },
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(300e6);
  });

  /** With a worker that pulls: it refuses invalid messages before it maps or copies anything. */
  describe('that requests a pull', () => {
    const survey = (fields: object = {}) =>
      frame(
        encode({
          ...{ type: 'survey', protocol: 2, intent: 'update', checkpoint: 'c', updateId: 'u', rank: 0 },
          ...{ deviceKind: 'host', deviceUuid: device.uuid, metasDigest: 'd', tensorCount: 1, ...fields },
        }),
      );
    const metas = (fields: object = {}) =>
      frame(
        encode({
          type: 'metas',
          part: 0,
          parts: 1,
          names: ['w'],
          dtypes: ['U8'],
          shapes: [[64]],
          sizes: [64],
          ...fields,
        }),
      );
    const places = (row: readonly number[] = [0, 0, 64, 0, 0]) => {
      const [index, tensorOffset, size, region, offset] = row.map((value) => [value]);
      return {
        ...{ tensor: encodeU32(index!), tensorOffset: encodeU64(tensorOffset!), size: encodeU64(size!) },
        ...{ region: encodeU32(region!), offset: encodeU64(offset!) },
      };
    };
    const regions = (fields: object = {}) =>
      frame(
        encode({
          ...{ type: 'regions', part: 0, parts: 1, layoutDigest: 'l', places: places() },
          regions: [{ id: 0, handle: buffer.handle, sizeBytes: 4096 }],
          ...fields,
        }),
      );
    const pull = (fields: object = {}) => frame(encode({ type: 'pull', index: 0, ...fields }));

    const pulled = async (): Promise<void> => {
      await using worker = copyingWorker({ device, keep: wholeOf });
      await using update = await receiveUpdate(address, { device, puller: worker.puller, timeoutMs: 5_000 });
      await worker.receive(update);
    };

    it.each<[string, () => Uint8Array[], RegExp | string]>([
      ['another device', () => [survey({ deviceUuid: 'HOST-other' })], /HOST-other/],
      ['needs without metas', () => [survey(), regions()], /before its metas|declare/i],
      ['fewer tensors than it announced', () => [survey({ tensorCount: 2 }), metas()], /metas of 1 tensors/],
      ['metas of unequal length', () => [survey(), metas({ sizes: [] })], /"metas"/],
      ['parts out of order', () => [survey(), metas({ part: 1, parts: 2 })], /part 1 of 2/],
      ['an invalid region', () => [survey(), metas(), regions({ regions: [{ id: 0 }] })], /"regions"/],
      [
        'two regions with the same id',
        () => {
          const region = { id: 0, handle: buffer.handle, sizeBytes: 4096 };
          return [survey(), metas(), regions({ regions: [region, region] })];
        },
        /two regions/,
      ],
      [
        'a region that is not a segment',
        () => [survey(), metas(), regions({ regions: [{ id: 0, handle: Uint8Array.of(46, 46), sizeBytes: 4096 }] })],
        /refused/,
      ],
      [
        'a place outside its region',
        () => [survey(), metas(), regions({ places: places([0, 0, 64, 0, 4090]) })],
        /4090/,
      ],
      [
        'a place outside its tensor',
        () => [survey(), metas(), regions({ places: places([0, 8, 64, 0, 0]) })],
        /8 to 72/,
      ],
      [
        'a place in an unknown region',
        () => [survey(), metas(), regions({ places: places([0, 0, 64, 7, 0]) })],
        /region 7/,
      ],
      ['a pull before its regions', () => [survey(), metas(), pull()], /out of order/],
      ['a pull of the wrong index', () => [survey(), metas(), regions(), pull({ index: 1 })], /pull 1 out of order/],
      [
        'a chunk outside its region',
        () => [survey(), metas(), regions(), pull({ places: places([0, 0, 64, 0, 8000]) })],
        /8000/,
      ],
    ])('refuses %s', async (_, frames, why) => {
      greet = (socket) => {
        for (const bytes of frames()) socket.write(bytes);
      };
      await expect(pulled()).rejects.toThrow(why);
    });

    it('unmaps what it keeps when the server is gone', async () => {
      let peer: Socket | undefined;
      greet = (socket) => {
        peer = socket;
        for (const bytes of [survey(), metas(), regions(), pull(), frame(encode({ type: 'finish' }))])
          socket.write(bytes);
        socket.write(frame(encode({ type: 'bye', keep: true })));
      };
      const mapped = (): number =>
        readFileSync('/proc/self/maps', 'utf8').split(new TextDecoder().decode(buffer.handle)).length - 1;
      // Memory of the tests before is unmapped in the background.
      await expect.poll(mapped).toBe(1);
      await using worker = copyingWorker({ device, keep: wholeOf });
      const update = await receiveUpdate(address, { device, puller: worker.puller, timeoutMs: 5_000 });
      await worker.receive(update);
      await update.close();
      expect(mapped()).toBe(2);
      peer!.destroy();
      await expect.poll(mapped).toBe(1);
    });
  });
});
