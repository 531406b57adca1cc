import assert from 'node:assert/strict';
import { unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePattern } from '../../pattern.ts';
import { rejects } from '../../suite/outcome.ts';
import type { CaseGroup } from '../../suite/register-groups.ts';
import type { DeviceSubject } from '../device-suite-options.ts';
import { assertHolds, assertPattern, filledHost, patternOf, range } from '../helpers.ts';

const SIZE = 1_000_003;

function writeFile(folder: string, name: string, seed: number): string {
  const bytes = new Uint8Array(SIZE);
  writePattern(patternOf(seed), 0, bytes);
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Tests of files that are read and mapped. */
export function fileTests(): CaseGroup<DeviceSubject> {
  return {
    name: 'files',
    tests: [
      {
        name: 'are read range by range to the given offsets, and nothing else is written',
        async run({ device, folder }) {
          const [a, b] = [writeFile(folder, 'a', 1), writeFile(folder, 'b', 2)];
          const memory = await filledHost(device, SIZE, 3);
          const done: number[] = [];
          const reads = [
            { path: a, fileOffsetBytes: 11, offsetBytes: 500_000, sizeBytes: 200_001 },
            { path: b, fileOffsetBytes: 700_000, offsetBytes: 7, sizeBytes: 300_003 },
          ];
          await memory.read(reads, { onProgress: (bytes) => done.push(bytes) });
          assertPattern(memory.view(0, 7), 3, 0, 'Bytes before the ranges');
          assertPattern(memory.view(7, 300_003), 2, 700_000, 'The second file');
          assertPattern(memory.view(300_010, 199_990), 3, 300_010, 'Bytes between the ranges');
          assertPattern(memory.view(500_000, 200_001), 1, 11, 'The first file');
          assertPattern(memory.view(700_001, SIZE - 700_001), 3, 700_001, 'Bytes behind the ranges');
          assert.equal(done.at(-1), 500_004, 'The last progress does not include all bytes');
        },
      },
      {
        name: 'that are missing, too short or read beyond the memory cause an error with their paths',
        async run({ device, folder }) {
          const path = writeFile(folder, 'a', 1);
          const memory = await device.allocateHost(SIZE);
          const read = (part: object): Promise<void> =>
            memory.read([{ path, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 100, ...part }]);
          const missing = join(folder, 'missing');
          await rejects(read({ path: missing }), { code: 'CE_FILE_NOT_FOUND' }, 'A read of no file');
          const short = await read({ fileOffsetBytes: SIZE - 50 }).catch((error: unknown) => error);
          assert.equal(Reflect.get(short as Error, 'file'), path);
          await rejects(read({ fileOffsetBytes: SIZE - 50 }), { code: 'CE_FILE_TRUNCATED' }, 'A read beyond the end');
          await rejects(read({ offsetBytes: SIZE - 50 }), { misuse: 'RangeError' }, 'A read to outside the memory');
          await read({});
          assertPattern(memory.view(0, 100), 1, 0, 'The data of a later read');
        },
      },
      {
        name: 'are not read if the signal has already fired',
        async run({ device, folder }) {
          const path = writeFile(folder, 'a', 1);
          const memory = await device.allocateHost(SIZE);
          const reads = [{ path, fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: SIZE }];
          const read = memory.read(reads, { signal: AbortSignal.abort() });
          await rejects(read, { code: 'CE_ABORTED' }, 'A read with a fired signal');
        },
      },
      {
        name: 'are mapped as host memory, keep their bytes when unlinked, and are copied to the device',
        async run({ device, folder }) {
          const path = writeFile(folder, 'a', 1);
          const memory = await device.mapFile(path);
          unlinkSync(path);
          assert.equal(memory.kind, 'host');
          assert.equal(memory.sizeBytes, SIZE);
          assertPattern(memory.view(0, SIZE), 1, 0, 'The mapped file');
          const own = await device.allocate(SIZE);
          const stream = device.createStream('mapped');
          await stream.copy([{ from: range(memory), to: range(own) }]);
          await assertHolds(device, range(own), 1, 'A copy of the mapped file');
          await rejects(device.mapFile(path), { code: 'CE_FILE_NOT_FOUND' }, 'A mapping of no file');
        },
      },
    ],
  };
}
