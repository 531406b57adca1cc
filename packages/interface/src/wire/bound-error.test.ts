import { expect, it } from 'vitest';
import type { SerializedError } from '../errors.ts';
import { CheckpointEngineError } from '../errors.ts';
import { boundError } from './bound-error.ts';

const long = 'x'.repeat(100_000);

it('shortens texts, at every depth', () => {
  const cause = new CheckpointEngineError('CE_TIMEOUT', long, 'hint');
  const bounded = boundError(
    new CheckpointEngineError('CE_REMOTE_FAILED', long, long, { detail: long, cause }).toJSON(),
  );
  expect(bounded.message).toHaveLength(16_384);
  expect(bounded.hint).toHaveLength(16_384);
  expect(bounded.detail).toHaveLength(16_384);
  expect(bounded.cause?.message).toHaveLength(16_384);
  expect(bounded).toMatchObject({ code: 'CE_REMOTE_FAILED', cause: { code: 'CE_TIMEOUT' } });
});

it('drops causes beyond the eighth', () => {
  let error: SerializedError = new CheckpointEngineError('CE_TIMEOUT', 'the first', 'hint').toJSON();
  for (let depth = 0; depth < 20; depth++) error = { ...error, message: `${depth}`, cause: error };
  let causes = 0;
  for (let each = boundError(error).cause; each !== undefined; each = each.cause) causes += 1;
  expect(causes).toBe(8);
});
