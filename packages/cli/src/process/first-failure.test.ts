import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { deathError, firstFailure, type RankFailure } from './first-failure.ts';

const failure = (rank: number, code: ErrorCode, atMs: number, died = false): RankFailure => ({
  rank,
  atMs,
  died,
  error: new CheckpointEngineError(code, `rank ${rank}`, 'hint', { rank }),
});

describe('firstFailure', () => {
  it('is undefined if nothing failed', () => expect(firstFailure([])).toBeUndefined());

  it('is the error of the rank that failed, not the earlier reports on other ranks', () => {
    const failures = [
      failure(0, 'CE_REMOTE_FAILED', 1),
      failure(2, 'CE_WORKER_FAILED', 5),
      failure(1, 'CE_ABORTED', 2),
    ];
    expect(firstFailure(failures)?.rank).toBe(2);
  });

  it('is the earliest of several failures', () => {
    const failures = [failure(0, 'CE_WORKER_LOST', 7), failure(1, 'CE_FILE_TRUNCATED', 3)];
    expect(firstFailure(failures)?.rank).toBe(1);
  });

  it.each([
    ['first', 1],
    ['last', 9],
  ])('is the digest mismatch if its rank reports %s', (_, atMs) => {
    const told =
      'vLLM answered POST /collective_rpc with 500: The parameter server ended the update: Tensor "a" differs';
    const engine = new CheckpointEngineError('CE_ENGINE_FAILED', told, 'hint', { rank: 0 });
    const worker = failure(3, 'CE_WORKER_LOST', 4);
    const failures = [
      { ...failure(0, 'CE_INTERNAL', 5), error: engine },
      worker,
      failure(1, 'CE_DIGEST_MISMATCH', atMs),
    ];
    expect(firstFailure(failures)?.rank).toBe(1);
    expect(firstFailure(failures.slice(0, 2))?.rank).toBe(3);
  });

  it('is a death before everything that followed from it, even if it is detected later', () => {
    const failures = [
      failure(0, 'CE_TRANSPORT_FAILED', 1),
      failure(1, 'CE_RANK_LOST', 2),
      failure(3, 'CE_RANK_LOST', 9, true),
    ];
    expect(firstFailure(failures)?.rank).toBe(3);
  });
});

describe('deathError', () => {
  it('names rank and signal, and keeps the last output', () => {
    const error = deathError(2, { code: null, signal: 'SIGKILL', lastLines: ['a', 'b'] });
    expect(error).toMatchObject({
      code: 'CE_RANK_LOST',
      rank: 2,
      message: 'Rank 2 was killed by SIGKILL',
      detail: 'a\nb',
    });
    expect(error.hint).toContain('out-of-memory');
  });

  it('names the exit status', () => {
    expect(deathError(0, { code: 134, signal: null, lastLines: [] }).message).toBe('Rank 0 ended with exit status 134');
  });
});
