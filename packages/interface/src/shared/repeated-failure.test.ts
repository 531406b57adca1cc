import { expect, it } from 'vitest';
import { CheckpointEngineError, type ErrorCode } from '../errors.ts';
import { isRepeatedFailure } from './repeated-failure.ts';

const error = (code: ErrorCode, message: string, details = {}): CheckpointEngineError =>
  new CheckpointEngineError(code, message, 'hint', details);
const remote = error('CE_REMOTE_FAILED', 'It ended');

it.each<[string, CheckpointEngineError]>([
  ['the failure of a worker that was notified', remote],
  ['the failure of a worker, as its server reports it', error('CE_WORKER_FAILED', 'failed', { cause: remote })],
  [
    'an answer of an engine with the text of a worker',
    error('CE_ENGINE_FAILED', 'x: The parameter server ended the update: y'),
  ],
  [
    'an answer of an engine with the error code in the detail',
    error('CE_ENGINE_FAILED', 'status 500', { detail: 'raise CE_REMOTE_FAILED' }),
  ],
])('is true for %s', (_, failure) => expect(isRepeatedFailure(failure)).toBe(true));

it.each<[string, CheckpointEngineError]>([
  ['a difference', error('CE_DIGEST_MISMATCH', 'Tensor "a" differs')],
  ['a failure of an engine', error('CE_ENGINE_FAILED', 'status 500', { detail: 'CUDA out of memory' })],
  ['a failure of a worker', error('CE_WORKER_FAILED', 'failed', { cause: error('CE_ENGINE_FAILED', 'hook') })],
])('is false for %s', (_, failure) => expect(isRepeatedFailure(failure)).toBe(false));
