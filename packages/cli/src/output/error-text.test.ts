import { CheckpointEngineError } from '@checkpoint-engine/interface';
import pico from 'picocolors';
import { describe, expect, it } from 'vitest';
import { errorText } from './error-text.ts';

const plain = { colors: pico.createColors(false), debug: false };

describe('errorText', () => {
  it('shows what happened, where, what to do, and the code', () => {
    const error = new CheckpointEngineError('CE_FILE_TRUNCATED', 'The file ends early', 'Copy the file again', {
      rank: 2,
      file: '/m/a.safetensors',
      tensor: 'lm_head.weight',
    });
    expect(errorText(error, plain)).toBe(
      [
        'error: The file ends early (rank 2)',
        '  Where: file /m/a.safetensors, tensor lm_head.weight',
        '  What to do: Copy the file again',
        '  Code: CE_FILE_TRUNCATED',
      ].join('\n'),
    );
  });

  it('does not repeat facts of the message', () => {
    const error = new CheckpointEngineError('CE_RANK_LOST', 'Rank 3 was killed by SIGKILL', 'Restart it', {
      rank: 3,
      file: '/a',
    });
    expect(errorText(error, plain)).toMatch(/^error: Rank 3 was killed by SIGKILL\n {2}Where: file \/a\n/);
  });

  it('shows no control character of a path', () => {
    const file = '/m/\x1b[31m\n';
    const error = (message: string) => new CheckpointEngineError('CE_FILE_NOT_FOUND', message, 'Correct it', { file });
    expect(errorText(error('No file'), plain)).toContain('Where: file "/m/\\u001b[31m\\n"');
    expect(errorText(error(`No file at ${JSON.stringify(file)}`), plain)).not.toContain('Where');
  });

  it("shows the end of the other side's output, and all of it with debug", () => {
    const detail = Array.from({ length: 40 }, (_, index) => `line ${index}`).join('\n');
    const error = new CheckpointEngineError('CE_WORKER_FAILED', 'The worker failed', 'Read its output', { detail });
    const text = errorText(error, plain);
    expect(text).toContain('... 25 lines before these');
    expect(text).toContain('line 39');
    expect(text).not.toContain('line 3\n');
    expect(errorText(error, { ...plain, debug: true })).toContain('    line 3\n');
  });

  it('shortens very long lines, unless with debug', () => {
    const long = 'x'.repeat(1_000_000);
    const error = new CheckpointEngineError('CE_WORKER_FAILED', `The worker ${long}`, `Read ${long}`, {
      tensor: long,
      detail: `first\n${long}`,
      cause: new CheckpointEngineError('CE_WORKER_LOST', long, 'Restart it'),
    });
    const text = errorText(error, plain);
    expect(text.length).toBeLessThan(30_000);
    expect(text).toContain('(1000000 characters)');
    expect(errorText(error, { ...plain, debug: true })).toContain(long);
  });

  it('shows the cause, and the stack only with debug', () => {
    const error = new CheckpointEngineError('CE_REMOTE_FAILED', 'Another rank failed', 'See there', {
      cause: new CheckpointEngineError('CE_WORKER_LOST', 'Worker is gone', 'Restart it', { rank: 1 }),
    });
    expect(errorText(error, plain)).toContain('Because: Worker is gone (rank 1)');
    expect(errorText(error, plain)).not.toContain('    at ');
    expect(errorText(error, { ...plain, debug: true })).toContain('    at ');
  });

  it('shows other errors without their stack', () => {
    const text = errorText(new TypeError('boom'), plain);
    expect(text).toMatch(/^error: boom\n/);
    expect(text).toContain('Code: CE_INTERNAL');
    expect(text).not.toContain('    at ');
  });
});
