import { describe, expect, it } from 'vitest';
import { atRank } from './at-rank.ts';
import { CheckpointEngineError, RankLostError } from './errors.ts';

function failDeepDown(): CheckpointEngineError {
  return new CheckpointEngineError('CE_FILE_TRUNCATED', 'The file ends early', 'Write it again', {
    ...{ peer: 'p', op: 'read', file: '/f', tensor: 't', status: 5, detail: 'd', retryable: true },
    cause: new TypeError('cause'),
  });
}

describe('atRank', () => {
  it('adds the rank and keeps everything else, including the stack and the cause', () => {
    const error = failDeepDown();
    const placed = atRank(error, 3);
    expect(placed.rank).toBe(3);
    expect(placed.stack).toBe(error.stack);
    expect(placed.stack).toContain('failDeepDown');
    expect(placed.cause).toBe(error.cause);
    expect(placed.toJSON()).toEqual({ ...error.toJSON(), rank: 3 });
  });

  it('does not change an error that names a rank, or the loss of a rank', () => {
    const named = new CheckpointEngineError('CE_TIMEOUT', 'Late', 'Wait', { rank: 1 });
    expect(atRank(named, 3)).toBe(named);
    const lost = new RankLostError(2);
    expect(atRank(lost, 3)).toBe(lost);
  });

  it('wraps any other value, with its stack as the detail', () => {
    const thrown = new Error('unexpected');
    expect(atRank(thrown, 3)).toMatchObject({ code: 'CE_INTERNAL', rank: 3, detail: thrown.stack });
    expect(atRank('text', 3)).toMatchObject({ code: 'CE_INTERNAL', rank: 3, message: 'text' });
  });
});
