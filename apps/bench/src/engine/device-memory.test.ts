import { expect, it } from 'vitest';
import { memoryFigures } from './device-memory.ts';

const use = (allocated: number, reserved: number, device: number) => ({ allocated, reserved, device });

it('returns the additional memory of the worker that used the most', () => {
  const workers = [
    { before: use(10, 20, 100), most: use(11, 20, 103), after: use(10, 20, 101), processes: {} },
    { before: use(10, 20, 100), most: use(15, 28, 102), after: use(10, 20, 100), processes: {} },
  ];
  expect(memoryFigures('later', workers)).toEqual({
    laterAllocatedBytes: 5,
    laterReservedBytes: 8,
    laterDeviceBytes: 3,
    laterKeptBytes: 1,
  });
});

it('returns nothing without a GPU', () => {
  expect(memoryFigures('later', [{}])).toEqual({});
});
