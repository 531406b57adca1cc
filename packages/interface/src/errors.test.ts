import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  abortError,
  CheckpointEngineError,
  type ErrorCode,
  RankLostError,
  type SerializedError,
  toCheckpointEngineError,
} from './errors.ts';

/** The error as another process restores it. */
const received = (error: CheckpointEngineError): CheckpointEngineError =>
  CheckpointEngineError.fromJSON(JSON.parse(JSON.stringify(error)) as SerializedError);

describe('the page of errors', () => {
  const source = readFileSync(new URL('errors.ts', import.meta.url), 'utf8');
  const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  const union = /export type ErrorCode =(.*?);\n\n/s.exec(source)![1]!;
  const codes = [...union.matchAll(/\| '(CE_[A-Z_]+)'/g)].map(([, code]) => code!);

  it('has one row for every code', () => {
    const rows = [...page.matchAll(/^\| `(CE_[A-Z_]+)` +\| .+ \| .+ \| .+ \|$/gm)].map(([, code]) => code!);
    expect(codes.length).toBeGreaterThan(40);
    expect(rows.sort()).toEqual(codes.sort());
  });

  it('names no code that does not exist', () => {
    expect(page.match(/\bCE_[A-Z_]+/g)!.filter((code) => !codes.includes(code))).toEqual([]);
  });
});

describe('CheckpointEngineError', () => {
  const details = {
    rank: 3,
    peer: 'GPU-1',
    op: 'POST /update',
    file: '/a.safetensors',
    tensor: 'head',
    status: 503,
    detail: 'Traceback',
    retryable: true,
  };

  it('is serialized completely, including causes', () => {
    const root = new CheckpointEngineError('CE_FILE_CHANGED', 'It changed', 'Write it again', { file: '/b' });
    const error = new CheckpointEngineError('CE_WORKER_FAILED', 'It failed', 'Look', { ...details, cause: root });
    const restored = received(error);
    expect(restored).toBeInstanceOf(CheckpointEngineError);
    expect(restored).toMatchObject({ code: 'CE_WORKER_FAILED', message: 'It failed', hint: 'Look', ...details });
    expect(restored.cause).toBeInstanceOf(CheckpointEngineError);
    expect(restored.toJSON()).toEqual(error.toJSON());
  });

  it('converts causes of other types to CheckpointEngineErrors', () => {
    const error = new CheckpointEngineError('CE_ENGINE_UNREACHABLE', 'Unreachable', 'Start it', {
      cause: new Error('refused'),
    });
    expect(received(error).cause).toMatchObject({ code: 'CE_INTERNAL', message: 'refused' });
  });

  it('sets only the known fields', () => {
    const restored = received(new CheckpointEngineError('CE_CLOSED', 'Closed', 'Open it'));
    expect(restored.cause).toBeUndefined();
    expect(restored.rank).toBeUndefined();
    expect(restored.retryable).toBe(false);
  });

  it('ignores unknown fields', () => {
    const data = { code: 'CE_CLOSED', message: 'Closed', hint: 'Open it', colour: 'red' } as const;
    expect(CheckpointEngineError.fromJSON(data)).not.toHaveProperty('colour');
  });

  it('shortens texts that another process made very long', () => {
    const long = (character: string) => character.repeat(2_000_000);
    const cause = { code: 'CE_CLOSED', message: long('c'), hint: long('h') } as const;
    const data = {
      code: 'CE_WORKER_FAILED',
      message: `A${long('m')}Z`,
      hint: long('h'),
      detail: long('d'),
      cause,
    } as const;
    const restored = CheckpointEngineError.fromJSON(data);
    expect(restored.message).toMatch(/^Am+ \.\.\. \(2000002 characters\) \.\.\. m+Z$/);
    expect(restored.message.length).toBeLessThan(10_000);
    expect(JSON.stringify(restored).length).toBeLessThan(110_000);
  });

  it('is recognized across copies of the package', async () => {
    const other = (await import('./errors.ts?copy' as './errors.ts')) as typeof import('./errors.ts');
    expect(other.CheckpointEngineError).not.toBe(CheckpointEngineError);
    const theirs = new other.RankLostError(1);
    expect(theirs).not.toBeInstanceOf(CheckpointEngineError);
    expect(CheckpointEngineError.isInstance(theirs)).toBe(true);
    expect(toCheckpointEngineError(theirs)).toBe(theirs);
  });

  it('does not recognize anything else', () => {
    for (const value of [undefined, null, 'CE_CLOSED', new Error('x'), { code: 'CE_CLOSED' }]) {
      expect(CheckpointEngineError.isInstance(value)).toBe(false);
    }
  });

  it('has a name that logs show, and that is not an own property', () => {
    const error = new CheckpointEngineError('CE_CLOSED', 'Closed', 'Open it');
    expect(String(error)).toBe('CheckpointEngineError: Closed');
    expect(Object.keys(error)).not.toContain('name');
  });
});

describe('RankLostError', () => {
  it('keeps its class between processes', () => {
    const error = new RankLostError(5, 'Rank 5 has been silent', { rank: 0, op: 'store', cause: new Error('gone') });
    const restored = received(error);
    expect(restored).toBeInstanceOf(RankLostError);
    expect(restored).toMatchObject({ code: 'CE_RANK_LOST', lostRank: 5, peer: 5, rank: 0, op: 'store' });
    expect(restored).toMatchObject({ message: error.message, hint: error.hint, name: 'RankLostError' });
    expect(restored.cause).toMatchObject({ message: 'gone' });
  });

  it('has the lost rank as its peer, regardless of the details', () => {
    expect(new RankLostError(0, undefined, { peer: 7 })).toMatchObject({ peer: 0, message: 'Rank 0 was lost' });
  });
});

describe('toCheckpointEngineError', () => {
  it('wraps a thrown value, with its stack and its cause', () => {
    const cause = new Error('root');
    const error = new TypeError('broken', { cause });
    expect(toCheckpointEngineError(error)).toMatchObject({
      code: 'CE_INTERNAL',
      message: 'broken',
      detail: error.stack,
      cause,
    });
    expect(toCheckpointEngineError('text')).toMatchObject({ code: 'CE_INTERNAL', message: 'text' });
  });
});

describe('abortError', () => {
  const aborted = (reason?: unknown): AbortSignal => AbortSignal.abort(reason);

  it('returns a CheckpointEngineError unchanged', () => {
    const reason = new RankLostError(2);
    expect(abortError(aborted(reason), 'update')).toBe(reason);
  });

  it('distinguishes a time-out from an abort', () => {
    const reasons: [unknown, ErrorCode, string][] = [
      [new DOMException('late', 'TimeoutError'), 'CE_TIMEOUT', 'The read timed out'],
      [new Error('stop'), 'CE_ABORTED', 'The read was aborted'],
      ['stop', 'CE_ABORTED', 'The read was aborted'],
    ];
    for (const [reason, code, message] of reasons) {
      expect(abortError(aborted(reason), 'The read')).toMatchObject({ code, message, op: 'The read' });
    }
  });

  it('keeps the reason as the cause', () => {
    const reason = new Error('stop');
    expect(abortError(aborted(reason)).cause).toBe(reason);
    expect(abortError(aborted()).cause).toMatchObject({ name: 'AbortError' });
  });
});

describe('system errors', () => {
  it.each([
    ['ENOENT', 'CE_FILE_NOT_FOUND'],
    ['ENOTDIR', 'CE_FILE_NOT_FOUND'],
    ['EACCES', 'CE_FILE_UNREADABLE'],
    ['EISDIR', 'CE_FILE_UNREADABLE'],
    ['ELOOP', 'CE_FILE_UNREADABLE'],
    ['ENAMETOOLONG', 'CE_FILE_UNREADABLE'],
    ['EMFILE', 'CE_FILE_UNREADABLE'],
    ['EADDRINUSE', 'CE_ADDRESS_IN_USE'],
    ['ECONNREFUSED', 'CE_PEER_UNREACHABLE'],
  ])('%s is %s, also as a cause', (code, wanted) => {
    const error = Object.assign(new Error(`${code}: no, stat '/x'`), { code, errno: -2, syscall: 'stat', path: '/x' });
    const typed = { code: wanted, op: 'stat', status: 2, file: '/x', message: error.message };
    expect(toCheckpointEngineError(error)).toMatchObject(typed);
    const outer = new CheckpointEngineError('CE_FILE_INVALID', 'what', 'hint', { cause: error });
    expect(outer.toJSON().cause).toMatchObject(typed);
  });

  it('are distinguished from errors of this program', () => {
    const { code } = toCheckpointEngineError(Object.assign(new TypeError('no'), { code: 'ERR_INVALID_ARG_TYPE' }));
    expect(code).toBe('CE_INTERNAL');
    expect(toCheckpointEngineError(new Error('ENOENT')).code).toBe('CE_INTERNAL');
  });
});
