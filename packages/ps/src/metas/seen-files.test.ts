import { describe, expect, it } from 'vitest';
import { checkSameFiles, digestOf, type SeenFile, type SeenFiles } from './seen-files.ts';

const file = (name: string, more: Partial<SeenFile> = {}): SeenFile => {
  return { name, sizeBytes: 8, headerDigest: 'h', device: '1', inode: name, modifiedNs: '5', ...more };
};
const view = (files: SeenFile[], host = 'x'): SeenFiles => ({ host, files });
const [a, b] = [file('a'), file('b')];
const check =
  (...views: (SeenFiles | undefined)[]) =>
  () =>
    checkSameFiles('c', new Map(views.entries()));

describe('checkSameFiles', () => {
  it('accepts equal views, and those of copies on other hosts and other file systems', () => {
    expect(check(view([a, b]), view([a, b]))).not.toThrow();
    const copy = [file('a', { device: '2', inode: '7', modifiedNs: '9' }), file('b', { device: '2', inode: '8' })];
    expect(check(view([a, b]), view(copy))).not.toThrow();
    const sameNumbers = [file('a', { inode: '7' }), file('b', { modifiedNs: '9' })];
    expect(check(view([a, b]), view(sameNumbers, 'y'))).not.toThrow();
    expect(check(undefined, undefined)).not.toThrow();
  });

  it.each<[string, (SeenFiles | undefined)[], RegExp]>([
    ['a file less', [view([a, b]), view([a])], /^Ranks 0 and 1 saw .* of checkpoint "c": rank 1 did not see "b"$/],
    ['a file more', [view([a]), view([a]), view([a, b])], /^Ranks 0 and 2 .*: rank 0 did not see "b"$/],
    ['another size', [view([a]), view([file('a', { sizeBytes: 9 })])], /"a" has 8 and 9 bytes/],
    ['other tensors', [view([a]), view([file('a', { headerDigest: 'i' })], 'y')], /"a" has different tensors/],
    ['another file', [view([a]), view([file('a', { inode: '7' })])], /"a" was replaced by another file/],
    ['other content', [view([a]), view([file('a', { modifiedNs: '7' })])], /"a" was modified between/],
    ['another order', [view([a, b]), view([b, a])], /listed in a different order/],
    ['no files', [view([a]), undefined], /not registered there as a share of files/],
    ['no files at first', [undefined, view([a])], /Ranks 1 and 0 .* not registered there as a share of files/],
    ['many', [view([]), view([a, b, file('c'), file('d'), file('e')])], /"c" and 2 more$/],
  ])('refuses a view with %s', (_, views, message) => {
    expect(check(...views)).toThrow(
      expect.objectContaining({ code: 'CE_PLAN_MISMATCH', message: expect.stringMatching(message) }),
    );
    const digests = views.map((seen) => seen && digestOf(seen));
    expect(new Set(digests).size).toBeGreaterThan(1);
  });
});
