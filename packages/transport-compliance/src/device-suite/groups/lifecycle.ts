import assert from 'node:assert/strict';
import { processStats } from '../../process-stats.ts';
import { rejects } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import type { DeviceSubject } from '../device-suite-options.ts';
import { filledHost, range } from '../helpers.ts';

/** Files and mappings that a runtime may open by itself meanwhile. */
const SLACK = 3;

/** Tests of closing, and of leaks. */
export function lifecycleTests(): CaseGroup<DeviceSubject> {
  return {
    name: 'lifecycle',
    tests: [
      {
        name: 'closing waits for copies, closes all memory, and refuses later calls',
        async run({ device }) {
          const source = await filledHost(device, 1_000_000, 1);
          const own = await device.allocate(1_000_000);
          let isDone = false;
          const copied = device
            .createStream('closing')
            .copy([{ from: range(source), to: range(own) }])
            .then(() => {
              isDone = true;
            });
          copied.catch(() => {}); // awaited below
          await device.close();
          assert.ok(isDone, 'The device closed before a copy was done');
          await copied;
          await device.close();
          for (const memory of [source, own])
            assert.equal(memory.address, 0n, 'Memory of a closed device has an address');
          const expected = { code: 'CE_CLOSED' } as const;
          await rejects(device.allocate(100), expected, 'An allocation on a closed device');
          await rejects(device.allocateHost(100), expected, 'An allocation of host memory on a closed device');
          assert.throws(() => device.createStream('late'), { code: 'CE_CLOSED' });
        },
      },
      {
        name: 'allocating, copying and closing 100 times leaves no file and no mapping behind',
        async run({ device }) {
          const turn = async (): Promise<void> => {
            const memories = [
              await device.allocateHost(5000),
              await device.allocate(5000),
              await device.allocateShared(5000),
            ];
            const stream = device.createStream('turn');
            await stream.copy([{ from: range(memories[0]!), to: range(memories[1]!) }]);
            await stream.close();
            for (const memory of memories) memory.close();
          };
          const run = async (times: number): Promise<void> => {
            for (let time = 0; time < times; time++) await turn();
          };
          await run(10);
          const before = processStats();
          await run(100);
          for (let round = 0; round < 50 && grown(before).length > 0; round++) {
            await new Promise((resolve) => setTimeout(resolve, 20)); // memory is freed off this thread
          }
          assert.deepEqual(grown(before), []);
        },
      },
    ],
  };
}

function grown(before: ReturnType<typeof processStats>): string[] {
  const after = processStats();
  return (['openFiles', 'sharedMappings'] as const)
    .filter((what) => after[what] - before[what] > SLACK)
    .map((what) => `${what} grew from ${before[what]} to ${after[what]}`);
}
