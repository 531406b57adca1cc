import assert from 'node:assert/strict';
import { rejects } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import type { DeviceSubject } from '../device-suite-options.ts';
import { assertHolds, assertPattern, filledHost, range } from '../helpers.ts';

/** Tests of memory. */
export function memoryTests(): CaseGroup<DeviceSubject> {
  return {
    name: 'memory',
    tests: [
      {
        name: 'has an address and a size, loses its address when closed, and can be closed twice',
        async run({ device }) {
          const memories = [
            await device.allocate(4097),
            await device.allocateShared(4097),
            await device.allocateHost(4097),
          ];
          assert.equal(new Set(memories.map(({ address }) => address)).size, 3, 'Two memories have the same address');
          for (const memory of memories) {
            assert.ok(memory.address > 0n);
            assert.equal(memory.sizeBytes, 4097);
            memory.close();
            memory.close();
            assert.equal(memory.address, 0n, 'Closed memory has an address');
          }
        },
      },
      {
        name: 'of the host is viewed without a copy, and its views are empty once it is closed',
        async run({ device }) {
          const memory = await filledHost(device, 10_000, 1);
          const view = memory.view(101, 999);
          assertPattern(view, 1, 101, 'The view');
          memory.view(0, 10_000)[101] = 7;
          assert.equal(view[0], 7, 'The view is a copy');
          memory.close();
          assert.equal(view.length, 0, 'A view of closed memory has bytes');
        },
      },
      {
        name: 'of the host takes bytes at an offset, and refuses ranges outside of it',
        async run({ device }) {
          const memory = await filledHost(device, 1000, 1);
          await memory.write(100, Uint8Array.of(1, 2, 3));
          assert.deepEqual([...memory.view(100, 3)], [1, 2, 3]);
          assertPattern(memory.view(0, 100), 1, 0, 'Bytes before those that were written');
          assertPattern(memory.view(103, 897), 1, 103, 'Bytes after those that were written');
          const expected = { misuse: 'RangeError' } as const;
          await rejects(memory.write(998, Uint8Array.of(1, 2, 3)), expected, 'A write beyond the end');
          assert.throws(() => memory.view(998, 3), RangeError);
          assertPattern(memory.view(998, 2), 1, 998, 'Bytes in the range of a refused write');
        },
      },
      {
        name: 'of the host can be pinned repeatedly, and keeps its bytes',
        async run({ device }) {
          const memory = await filledHost(device, 100_000, 1);
          await memory.pin();
          await memory.pin();
          if (device.supports.pinning) assert.equal(memory.pinned, true);
          assertPattern(memory.view(0, 100_000), 1, 0, 'Pinned memory');
        },
      },
      {
        name: 'of another allocation is not touched',
        async run({ device }) {
          const memories = await Promise.all([1, 2, 3].map((seed) => filledHost(device, 5000, seed)));
          const own = await Promise.all([1, 2, 3].map(() => device.allocate(5000)));
          const stream = device.createStream('fill');
          await stream.copy(memories.map((memory, index) => ({ from: range(memory), to: range(own[index]!) })));
          own[1]!.close();
          for (const index of [0, 2]) await assertHolds(device, range(own[index]!), index + 1, `Allocation ${index}`);
        },
      },
    ],
  };
}
