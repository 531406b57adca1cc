import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { range } from './support.ts';

let device: HostDevice;
beforeAll(async () => {
  device = await createHostDevice({ threads: 4 });
});
afterAll(() => device.close());

describe('copy', () => {
  it('produces the same bytes as copying in order, regardless of overlaps', async () => {
    const size = 4096;
    const place = fc.nat(size - 1);
    const copies = fc.array(fc.record({ from: place, to: place, size: fc.nat(300), swap: fc.boolean() }), {
      maxLength: 20,
    });
    using a = await device.allocateHost(size);
    using b = await device.allocateShared(size);
    const stream = device.createStream('order');
    await fc.assert(
      fc.asyncProperty(copies, async (list) => {
        const expected = [new Uint8Array(size), new Uint8Array(size)];
        for (let i = 0; i < size; i++) {
          expected[0]![i] = i * 31;
          expected[1]![i] = i * 17 + 5;
        }
        a.view(0, size).set(expected[0]!);
        b.view(0, size).set(expected[1]!);
        const batch = list.map(({ from, to, size: wanted, swap }) => {
          const sizeBytes = Math.min(wanted, size - Math.max(from, to));
          const [source, target] = swap ? [1, 0] : [0, from % 3 === 0 ? 0 : 1];
          expected[target]!.set(expected[source]!.slice(from, from + sizeBytes), to);
          const memories = [a, b];
          return { from: range(memories[source]!, from, sizeBytes), to: range(memories[target]!, to, sizeBytes) };
        });
        await stream.copy(batch);
        expect(Buffer.compare(a.view(0, size), expected[0]!)).toBe(0);
        expect(Buffer.compare(b.view(0, size), expected[1]!)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it('keeps that order for ranges that are large enough for several threads', async () => {
    const slot = 8 << 20;
    using memory = await device.allocateHost(8 * slot);
    const words = new Float64Array(slot / 8).map((_, i) => i);
    const bytes = new Uint8Array(words.buffer);
    await memory.write(0, bytes);
    const stream = device.createStream('large order');
    await stream.copy(
      Array.from({ length: 7 }, (_, i) => ({
        from: range(memory, i * slot, slot),
        to: range(memory, (i + 1) * slot, slot),
      })),
    );
    for (let i = 1; i < 8; i++) expect(Buffer.compare(memory.view(i * slot, slot), bytes)).toBe(0);
    await stream.copy([{ from: range(memory, 0, slot), to: range(memory, 4096, slot) }]);
    expect(Buffer.compare(memory.view(4096, slot), bytes)).toBe(0);
  });

  it('moves large ranges and many small ones', async () => {
    const size = 40 << 20;
    using from = await device.allocateHost(size);
    using to = await device.allocateHost(size);
    const words = new Float64Array(size / 8).map((_, i) => i);
    await from.write(0, new Uint8Array(words.buffer));
    const stream = device.createStream('large');
    const small = Array.from({ length: 20_000 }, (_, i) => ({
      from: range(from, i * 100, 100),
      to: range(to, i * 100, 100),
    }));
    await stream.copy([
      ...small,
      { from: range(from, 2_000_000, size - 2_000_000), to: range(to, 2_000_000, size - 2_000_000) },
    ]);
    expect(Buffer.compare(from.view(0, size), to.view(0, size))).toBe(0);
  });

  it('keeps the order of a stream over many calls, and settles in that order', async () => {
    using memory = await device.allocateHost(8 << 20);
    const stream = device.createStream('chain');
    const settled: number[] = [];
    memory.view(0, 1)[0] = 42;
    const step = 16 << 10;
    const chain = Array.from({ length: 500 }, (_, i) =>
      stream
        .copy([{ from: range(memory, i * step, step), to: range(memory, (i + 1) * step, step) }])
        .then(() => settled.push(i)),
    );
    await Promise.all(chain);
    expect(memory.view(500 * step, 1)[0]).toBe(42);
    expect(settled).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  it('lets streams overtake each other', async () => {
    using large = await device.allocateHost(512 << 20);
    using small = await device.allocateHost(2);
    const [slow, quick] = [device.createStream('slow'), device.createStream('quick')];
    const order: string[] = [];
    await Promise.all([
      slow
        .copy([{ from: range(large, 0, 256 << 20), to: range(large, 256 << 20, 256 << 20) }])
        .then(() => order.push('slow')),
      quick.copy([{ from: range(small, 0, 1), to: range(small, 1, 1) }]).then(() => order.push('quick')),
    ]);
    expect(order).toEqual(['quick', 'slow']);
  });

  it('finishes although memory and streams are closed meanwhile', async () => {
    const [from, to] = [await device.allocateHost(64 << 20), await device.allocateShared(64 << 20)];
    using opened = await device.openShared(to.handle, 64 << 20);
    from.view((64 << 20) - 1, 1)[0] = 7;
    const stream = device.createStream('closing');
    const copies = Array.from({ length: 5 }, () => stream.copy([{ from: range(from), to: range(to) }]));
    from.close();
    to.close();
    await stream.close();
    await stream.close();
    await Promise.all(copies);
    expect(opened.view((64 << 20) - 1, 1)[0]).toBe(7);
    await expect(stream.copy([])).rejects.toMatchObject({ code: 'CE_CLOSED' });
    await expect(
      device.createStream('x').copy([{ from: range(from, 0, 1), to: range(opened, 0, 1) }]),
    ).rejects.toMatchObject({ code: 'CE_CLOSED' });
  });

  it('accepts empty lists and empty ranges', async () => {
    using memory = await device.allocateHost(10);
    const stream = device.createStream('empty');
    await stream.copy([]);
    await stream.copy([{ from: range(memory, 10, 0), to: range(memory, 0, 0) }]);
  });

  it('refuses ranges of different sizes or outside of their memory', async () => {
    using memory = await device.allocateHost(10);
    const stream = device.createStream('wrong');
    const copy = (from: [number, number], to: [number, number]) =>
      stream.copy([{ from: range(memory, ...from), to: range(memory, ...to) }]);
    await expect(copy([0, 5], [5, 4])).rejects.toThrow(RangeError);
    await expect(copy([6, 5], [0, 5])).rejects.toThrow(RangeError);
    await expect(copy([0, 5], [6, 5])).rejects.toThrow(RangeError);
    await expect(copy([-1, 5], [0, 5])).rejects.toThrow(RangeError);
    await expect(copy([0, 0.5], [0, 0.5])).rejects.toThrow(RangeError);
  });
});
