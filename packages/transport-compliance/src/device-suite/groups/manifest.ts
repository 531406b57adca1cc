import assert from 'node:assert/strict';
import { isHostMemory } from '@checkpoint-engine/interface';
import type { CaseGroup } from '../../suite/register-groups.ts';
import type { DeviceSubject } from '../device-suite-options.ts';

/** Tests of the properties that the device declares. */
export function manifestTests(): CaseGroup<DeviceSubject> {
  return {
    name: 'manifest',
    tests: [
      {
        name: 'declares its name, the version of its contract, and everything that it supports',
        async run({ device }) {
          assert.equal(device.specVersion, 1);
          for (const what of ['kind', 'uuid', 'name'] as const) {
            assert.equal(typeof device[what], 'string', what);
            assert.ok(device[what].length > 0, `The ${what} is empty`);
          }
          assert.ok(Number.isSafeInteger(device.index) && device.index >= 0, `index: ${device.index}`);
          assert.equal(typeof device.supports.hostAddressable, 'boolean');
          assert.equal(typeof device.supports.pinning, 'boolean');
        },
      },
      {
        name: 'reports its total and free memory',
        async run({ device }) {
          const { freeBytes, totalBytes } = device.memoryInfo();
          assert.ok(Number.isSafeInteger(totalBytes) && totalBytes > 0, `totalBytes: ${totalBytes}`);
          assert.ok(Number.isSafeInteger(freeBytes) && freeBytes >= 0, `freeBytes: ${freeBytes}`);
          assert.ok(freeBytes <= totalBytes, `${freeBytes} bytes are free of ${totalBytes}`);
        },
      },
      {
        name: 'returns host memory if it declares so, and device memory otherwise',
        async run({ device }) {
          const wanted = device.supports.hostAddressable ? 'host' : 'device';
          for (const memory of [await device.allocate(1000), await device.allocateShared(1000)]) {
            assert.equal(memory.kind, wanted);
            if (isHostMemory(memory)) assert.equal(memory.view(0, 1000).length, 1000);
          }
          assert.equal((await device.allocateHost(1000)).kind, 'host');
        },
      },
    ],
  };
}
