import { describe, expect, it } from 'vitest';
import type { HostFigures } from './measure-host.ts';
import { memoryHolders } from './memory-holders.ts';

const MIB = 2 ** 20;
const worldOf = (ownMiB: readonly number[], sharedMiB: number): HostFigures =>
  ({
    rankBaseBytes: [20 * MIB],
    poolBytes: [512 * MIB],
    last: [{ result: { deviceBytes: 48 * MIB } }],
    memory: { ownBytes: ownMiB.map((mib) => mib * MIB), sharedBytes: sharedMiB * MIB },
    workerBaseBytes: [10 * MIB],
    wrong: 0,
  }) as unknown as HostFigures;

const unexplainedMiB = (world: HostFigures): Record<string, number> =>
  Object.fromEntries(memoryHolders(world, 512 * MIB).map((one) => [one.who, one.unexplainedBytes / MIB]));

describe('memoryHolders', () => {
  it('explains a pool, a ring and the data that a worker received', () => {
    expect(unexplainedMiB(worldOf([532, 522], 48))).toEqual({ 'rank 0': 0, 'worker 0': 0, 'shared memory': 0 });
  });

  it('leaves a second copy unexplained in any place', () => {
    expect(unexplainedMiB(worldOf([1044, 522], 48))['rank 0']).toBe(512);
    expect(unexplainedMiB(worldOf([532, 1034], 48))['worker 0']).toBe(512);
    expect(unexplainedMiB(worldOf([532, 522], 96))['shared memory']).toBe(48);
  });

  it('does not let a part that was not allocated yet explain anything else', () => {
    expect(unexplainedMiB(worldOf([532, 10], 96))).toEqual({ 'rank 0': 0, 'worker 0': 0, 'shared memory': 48 });
  });
});
