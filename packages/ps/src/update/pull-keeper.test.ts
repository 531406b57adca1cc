import { describe, expect, it, vi } from 'vitest';
import type { HostPlan } from './host-plan.ts';
import { PullKeeper } from './pull-keeper.ts';

describe('PullKeeper.plan', () => {
  it('makes a plan once while a server alternates between four checkpoints, and drops the one unused longest', () => {
    const keeper = new PullKeeper();
    const make = vi.fn(() => ({}) as HostPlan);
    const first = keeper.plan('a', make);
    for (const key of ['b', 'c', 'd', 'a', 'b', 'c', 'd']) keeper.plan(key, make);
    expect(make).toHaveBeenCalledTimes(4);
    expect(keeper.plan('a', make)).toBe(first);
    keeper.plan('e', make);
    expect(keeper.plan('a', make)).toBe(first);
    expect(make).toHaveBeenCalledTimes(5);
    keeper.plan('b', make);
    expect(make).toHaveBeenCalledTimes(6);
  });
});
