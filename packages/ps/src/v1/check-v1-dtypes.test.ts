import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { DTYPES } from '@checkpoint-engine/meta';
import { expect, test } from 'vitest';
import { checkV1Dtypes } from './check-v1-dtypes.ts';

test('checkV1Dtypes: names the first tensor that torch cannot hold', () => {
  const tensors = DTYPES.map((dtype) => ({ name: `a ${dtype}`, dtype, shape: [2] }));
  let thrown: unknown;
  try {
    checkV1Dtypes(tensors);
  } catch (error) {
    thrown = error;
  }
  expect(CheckpointEngineError.isInstance(thrown)).toBe(true);
  expect(thrown).toMatchObject({ code: 'CE_DTYPE_UNKNOWN', tensor: 'a F6_E2M3' });
  expect(() => checkV1Dtypes(tensors.filter(({ dtype }) => !dtype.startsWith('F6')))).not.toThrow();
});
