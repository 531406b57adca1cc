import { describe, expect, it } from 'vitest';
import { Fuse } from './fuse.ts';

describe('Fuse', () => {
  it('passes results and errors through while it is intact', async () => {
    const fuse = new Fuse();
    expect(await fuse.guard(Promise.resolve(7))).toBe(7);
    await expect(fuse.guard(Promise.reject(new Error('its own')))).rejects.toThrow('its own');
  });

  it('rejects pending and later calls with the first error', async () => {
    const fuse = new Fuse();
    const waiting = [fuse.guard(new Promise(() => {})), fuse.guard(new Promise(() => {}))];
    const first = new Error('first');
    fuse.blow(first);
    fuse.blow(new Error('second'));
    for (const one of waiting) await expect(one).rejects.toBe(first);
    await expect(fuse.guard(Promise.resolve())).rejects.toBe(first);
    expect(fuse.error).toBe(first);
  });
});
