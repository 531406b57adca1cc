import { describe, expect, it, vi } from 'vitest';
import { noteSilentWorker } from './note-silent-worker.ts';

const logger = () => ({ debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn(), child: vi.fn() });

describe('noteSilentWorker', () => {
  it('logs once for each checkpoint, and warns only if all bytes had to be verified', () => {
    const [first, second, third] = [[], [], []];
    const log = logger();
    const note = (metas: readonly never[], mode: 'off' | 'sample' | 'full') =>
      noteSilentWorker({ metas, logger: log, rank: 3 }, mode);
    note(first!, 'off');
    expect(log.info).not.toHaveBeenCalled();
    note(first!, 'sample');
    note(first!, 'sample');
    expect(log.info.mock.calls).toEqual([[{ rank: 3 }, expect.stringContaining('cannot report digests')]]);
    note(second!, 'full');
    note(third!, 'full');
    expect(log.warn).toHaveBeenCalledTimes(2);
  });
});
