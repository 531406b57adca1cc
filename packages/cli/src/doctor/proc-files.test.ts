import { describe, expect, it } from 'vitest';
import { parseChoice, parseDriverVersion, parseLimit, parseMeminfo } from './proc-files.ts';

describe('files of the kernel', () => {
  it('parseMeminfo', () => {
    const text = 'MemTotal:       24689764 kB\nMemFree:        22812340 kB\nMemAvailable:   23470000 kB\n';
    expect(parseMeminfo(text)).toEqual({ totalBytes: 24_689_764 * 1024, availableBytes: 23_470_000 * 1024 });
    expect(parseMeminfo('')).toBeUndefined();
  });

  it('parseLimit', () => {
    const text =
      'Limit                     Soft Limit           Hard Limit           Units     \n' +
      'Max locked memory         8388608              unlimited            bytes     \n' +
      'Max open files            unlimited            unlimited            files     \n';
    expect(parseLimit(text, 'Max locked memory')).toBe(8_388_608);
    expect(parseLimit(text, 'Max open files')).toBe(Number.POSITIVE_INFINITY);
    expect(parseLimit(text, 'Max stack')).toBeUndefined();
  });

  it('parseChoice', () => {
    expect(parseChoice('always [madvise] never\n')).toBe('madvise');
    expect(parseChoice('')).toBeUndefined();
  });

  it('parseDriverVersion', () => {
    const text =
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (x)\nGCC version: 13\n';
    expect(parseDriverVersion(text)).toBe('580.95.05');
  });
});
