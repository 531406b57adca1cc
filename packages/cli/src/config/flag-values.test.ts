import { describe, expect, it } from 'vitest';
import {
  checkpointPathFlag,
  countFlag,
  localRanksFlag,
  ranksFlag,
  repeated,
  secondsFlag,
  sizeFlag,
  timeoutFlag,
  urlFlag,
} from './flag-values.ts';

describe('flag values', () => {
  it('reads valid values', () => {
    expect(sizeFlag('512MiB')).toBe(2 ** 29);
    expect(countFlag('8')).toBe(8);
    expect(countFlag('65536')).toBe(65_536);
    expect(localRanksFlag('1024')).toBe(1_024);
    expect(ranksFlag('65535')).toEqual([65_535]);
    expect(ranksFlag('0-3')).toEqual([0, 1, 2, 3]);
    expect(ranksFlag('6, 0,4-5,5')).toEqual([0, 4, 5, 6]);
    expect(secondsFlag('1.5')).toBe(1500);
    expect(secondsFlag('0')).toBe(0);
    expect(timeoutFlag('300')).toBe(300_000);
    expect(checkpointPathFlag('models/a:b')).toBe('models/a:b');
    expect(urlFlag('http://127.0.0.1:8000/')).toBe('http://127.0.0.1:8000');
  });

  it.each([
    [sizeFlag, '0'],
    [sizeFlag, '2G'],
    [sizeFlag, '-1'],
    [countFlag, '0'],
    [ranksFlag, ''],
    [ranksFlag, '3-1'],
    [ranksFlag, '0;1'],
    [countFlag, '1.5'],
    [countFlag, '65537'],
    [countFlag, '99999999999'],
    [localRanksFlag, '1025'],
    [localRanksFlag, '0'],
    [ranksFlag, '0-65536'],
    [ranksFlag, '99999999999'],
    [countFlag, ''],
    [secondsFlag, '-1'],
    [secondsFlag, ''],
    [secondsFlag, '1e9'],
    [timeoutFlag, '0'],
    [urlFlag, '127.0.0.1:8000'],
    [urlFlag, 'ftp://x'],
    [checkpointPathFlag, ''],
    [checkpointPathFlag, 's3://bucket/model'],
    [checkpointPathFlag, 'file:///models/x'],
    [urlFlag, 'http://127.0.0.1:0'],
    [urlFlag, 'http://127.0.0.1:8000/?key=1'],
    [urlFlag, 'http://127.0.0.1 :8000'],
  ])('%o refuses "%s"', (parse, text) =>
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'commander.invalidArgument' })),
  );

  it('collects the values of a repeated flag', () => {
    const collect = repeated(countFlag);
    expect(collect('2', collect('1', undefined))).toEqual([1, 2]);
  });
});
