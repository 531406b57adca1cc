import type { Memory } from '@checkpoint-engine/interface';
import { rejects } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import type { DeviceSubject } from '../device-suite-options.ts';
import { assertHolds, assertPattern, filledHost, range } from '../helpers.ts';

const SIZE = 300_007;

/** Tests of copies on streams. */
export function copyTests(): CaseGroup<DeviceSubject> {
  return {
    name: 'copies',
    tests: [
      {
        name: 'transfer every byte in every direction between host and device, at odd offsets, and change no other byte',
        async run({ device }) {
          const source = await filledHost(device, SIZE, 1);
          const stream = device.createStream('copies');
          let from: Memory = source;
          for (const isHost of [false, false, true, true]) {
            const to = isHost ? await device.allocateHost(SIZE) : await device.allocate(SIZE);
            const guards = await filledHost(device, SIZE, 2);
            await stream.copy([{ from: range(guards), to: range(to) }]);
            await stream.copy([{ from: range(from, 13, SIZE - 1000), to: range(to, 13, SIZE - 1000) }]);
            const edge = await device.allocateHost(SIZE);
            await stream.copy([{ from: range(to), to: range(edge) }]);
            assertPattern(edge.view(13, SIZE - 1000), 1, 13, 'The copied range');
            assertPattern(edge.view(0, 13), 2, 0, 'Bytes before the copied range');
            assertPattern(edge.view(SIZE - 987, 987), 2, SIZE - 987, 'Bytes after the copied range');
            from = to;
          }
          await stream.close();
        },
      },
      {
        name: 'take effect in the order in which they are submitted, within a call and from call to call',
        async run({ device }) {
          const sources = await Promise.all([1, 2, 3].map((seed) => filledHost(device, SIZE, seed)));
          const [first, second] = [await device.allocate(SIZE), await device.allocate(SIZE)];
          const stream = device.createStream('order');
          const submitted = [
            stream.copy([
              { from: range(sources[0]!), to: range(first) },
              { from: range(first), to: range(second) },
              { from: range(sources[1]!), to: range(first) },
            ]),
            stream.copy([{ from: range(sources[2]!), to: range(first) }]),
          ];
          await Promise.all(submitted);
          await assertHolds(device, range(second), 1, 'The data that a copy passed on');
          await assertHolds(device, range(first), 3, 'The data that was overwritten twice');
          await stream.close();
        },
      },
      {
        name: 'of no bytes resolve, and ranges of different sizes or outside of their memory are refused',
        async run({ device }) {
          const host = await filledHost(device, 1000, 1);
          const own = await device.allocate(1000);
          const stream = device.createStream('misuse');
          await stream.copy([]);
          await stream.copy([{ from: range(host), to: range(own) }]);
          const expected = { misuse: 'RangeError' } as const;
          const unequal = stream.copy([{ from: range(host, 0, 10), to: range(own, 0, 11) }]);
          await rejects(unequal, expected, 'A copy between ranges of different sizes');
          const outside = stream.copy([{ from: range(host, 0, 100), to: range(own, 901, 100) }]);
          await rejects(outside, expected, 'A copy beyond the end');
          await assertHolds(device, range(own), 1, 'Memory of refused copies');
          await stream.close();
        },
      },
      {
        name: 'in progress keep closed memory alive',
        async run({ device }) {
          const [source, own] = [await filledHost(device, SIZE, 1), await device.allocate(SIZE)];
          const back = await device.allocateHost(SIZE);
          const stream = device.createStream('closing');
          const copied = stream.copy([
            { from: range(source), to: range(own) },
            { from: range(own), to: range(back) },
          ]);
          source.close();
          own.close();
          await copied;
          assertPattern(back.view(0, SIZE), 1, 0, 'The data that passed through closed memory');
          await stream.close();
          await stream.close();
        },
      },
    ],
  };
}
