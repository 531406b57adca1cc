import { describe, expect, it } from 'vitest';
import { criticalPath } from './critical-path.ts';
import { runTasks } from './run-tasks.ts';

const MB = 1e6;

describe('runTasks', () => {
  it('runs steps one after another, with the time of their bytes', () => {
    const { totalMs, links } = runTasks((list, network) => {
      const link = network.addLink('pcie', 'link', 1);
      const first = list.add({ stage: 'h2d', sizeBytes: 4 * MB, path: [[link, 1]] });
      list.add({ stage: 'reload', fixedMs: 3, after: [first] });
    });
    expect(totalMs).toBe(7);
    expect(links[0]).toMatchObject({ bytes: 4 * MB, busyMs: 4 });
  });

  it('speeds up a flow when another one ends', () => {
    const ends: number[] = [];
    const { tasks } = runTasks((list, network) => {
      const link = network.addLink('pcie', 'link', 2);
      for (const size of [2, 6]) list.add({ stage: 'h2d', sizeBytes: size * MB, path: [[link, 1]] });
    });
    for (const { endMs } of tasks) ends.push(endMs);
    expect(ends).toEqual([2, 4]);
  });

  it('finds the chain of steps that delayed each other', () => {
    const { last } = runTasks((list) => {
      const long = list.add({ stage: 'h2d', index: 0, fixedMs: 9 });
      const short = list.add({ stage: 'h2d', index: 1, fixedMs: 2 });
      const both = list.add({ stage: 'broadcast', fixedMs: 1, after: [short, long] });
      list.add({ stage: 'reload', fixedMs: 5, after: [both] });
    });
    expect(criticalPath(last).map(({ stage, index, toMs }) => [stage, index, toMs])).toEqual([
      ['h2d', 0, 9],
      ['broadcast', -1, 10],
      ['reload', -1, 15],
    ]);
  });

  it('has a time of 0 without steps', () => {
    expect(runTasks(() => {}).totalMs).toBe(0);
  });
});
