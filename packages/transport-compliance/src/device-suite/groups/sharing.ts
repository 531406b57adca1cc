import assert from 'node:assert/strict';
import { isSharedMemory, type SharedMemory } from '@checkpoint-engine/interface';
import type { CaseGroup } from '../../suite/register-groups.ts';
import type { DeviceSubject } from '../device-suite-options.ts';
import { assertHolds, filledHost, patternOf, range } from '../helpers.ts';

const SIZE = 200_003;

/** Tests of memory that several processes have open. */
export function sharingTests(): CaseGroup<DeviceSubject> {
  return {
    name: 'sharing',
    tests: [
      {
        name: 'device memory is shared with processes that open its handle: each side sees the writes of the other',
        async run(subject) {
          await exchange(subject, await subject.device.allocateShared(SIZE));
        },
      },
      {
        name: 'shareable host memory is shared as well, and other host memory has no handle',
        async run(subject) {
          const memory = await subject.device.allocateHost(SIZE, { shared: true });
          assert.ok(isSharedMemory(memory), 'Shared host memory has no handle');
          await exchange(subject, memory);
          assert.equal(isSharedMemory(await subject.device.allocateHost(SIZE)), false);
          assert.equal(isSharedMemory(await subject.device.allocate(SIZE)), false);
        },
      },
    ],
  };
}

async function exchange({ device, startPeer }: DeviceSubject, memory: SharedMemory): Promise<void> {
  const stream = device.createStream('sharing');
  await stream.copy([{ from: range(await filledHost(device, SIZE, 1)), to: range(memory) }]);
  const peer = await startPeer();
  await peer.open(memory.handle, SIZE);
  assert.equal(await peer.check(patternOf(1)), null);
  await stream.copy([{ from: range(await filledHost(device, SIZE, 2)), to: range(memory) }]);
  assert.equal(await peer.check(patternOf(2)), null);
  await peer.fill(patternOf(3));
  await assertHolds(device, range(memory), 3, 'The data that the peer wrote');
}
