import { describe, expect, test } from 'vitest';
import { findBacking } from './backing.ts';

const maps = [
  '7f0000000000-7f0000004000 rw-s 00000000 00:1a 77                         /dev/shm/one two',
  '7f0000004000-7f0000006000 r--s 00004000 00:1a 77                         /dev/shm/one two',
  '7f0000006000-7f0000007000 rw-s 00000000 00:1a 78                         /dev/shm/next',
  '7f0000008000-7f0000009000 rw-s 00002000 00:1a 79                         /dev/shm/gone (deleted)',
  '7f0000010000-7f0000020000 rw-p 00000000 00:00 0 ',
  '7f0000030000-7f0000040000 rw-p 00000000 00:1a 80                         /dev/shm/private',
  '7f0000050000-7f0000060000 rw-s 00000000 00:00 0                          ',
].join('\n');

describe('findBacking', () => {
  test('finds the file, even if the kernel has split its mapping', () => {
    expect(findBacking(maps, 0x7f0000000000n, 0x6000)).toEqual({
      paths: ['/dev/shm/one two', `/proc/${process.pid}/map_files/7f0000000000-7f0000004000`],
      device: '00:1a',
      inode: 77,
      offset: 0,
      size: 0x6000,
    });
    expect(findBacking(maps, 0x7f0000005000n, 10)).toMatchObject({ inode: 77, offset: 0x5000, size: 10 });
  });

  test('finds the file that has lost its name', () => {
    expect(findBacking(maps, 0x7f0000008010n, 16)).toMatchObject({
      paths: ['/dev/shm/gone', expect.any(String)],
      offset: 0x2010,
    });
  });

  test.each([
    ['two files', 0x7f0000005000n, 0x2000],
    ['a hole', 0x7f0000006000n, 0x3000],
    ['the end of a file', 0x7f0000008000n, 0x1001],
    ['anonymous memory', 0x7f0000010000n, 10],
    ['a private mapping of a file', 0x7f0000030000n, 10],
    ['shared memory without a file', 0x7f0000050000n, 10],
    ['nothing', 0x1000n, 10],
  ])('refuses %s', (_, address, sizeBytes) => {
    expect(() => findBacking(maps, address, sizeBytes)).toThrowError(
      expect.objectContaining({ code: 'CE_NOT_SUPPORTED', hint: expect.stringContaining('shared: true') }),
    );
  });
});
