import { describe, expect, it } from 'vitest';
import { bytesTensor, poolOf } from '../test/support/metas.ts';
import { checkUniqueTensors } from './check-unique-tensors.ts';

const owner = (rank: number, ...names: string[]) =>
  poolOf(
    rank,
    names.map((name) => bytesTensor(name, 1)),
  );

describe('checkUniqueTensors', () => {
  it('accepts tensors that have one owner each', () => {
    expect(() => checkUniqueTensors([owner(0, 'a', 'b'), owner(1), owner(2, 'c')])).not.toThrow();
  });

  it('names the tensor and both owners', () => {
    expect(() => checkUniqueTensors([owner(4, 'a', 'b'), owner(7, 'c', 'b')])).toThrow(
      expect.objectContaining({
        code: 'CE_TENSOR_DUPLICATE',
        tensor: 'b',
        message: 'Tensor "b" appears on rank 4 and on rank 7, expected one owner',
      }),
    );
  });

  it('names the rank that has a tensor twice', () => {
    expect(() => checkUniqueTensors([owner(4, 'a', 'a')])).toThrow(
      expect.objectContaining({
        code: 'CE_TENSOR_DUPLICATE',
        message: 'Tensor "a" appears twice on rank 4, expected once',
      }),
    );
  });
});
