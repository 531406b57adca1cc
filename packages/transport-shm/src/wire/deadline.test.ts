import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { withDeadline } from './deadline.ts';

const never = () => new Promise<never>(() => {});
const limits = (timeoutMs: number, ...signals: AbortSignal[]) => ({ what: 'Waiting', timeoutMs, signals });

describe('withDeadline', () => {
  it('returns the result of the work', async () => {
    expect(await withDeadline(limits(1000), async () => 7)).toBe(7);
  });

  it('ends work that hangs, and notifies it', async () => {
    let told: unknown;
    const work = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => {
        told = signal.reason;
      });
      return never();
    };
    const error = await withDeadline(limits(10), work).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CE_TIMEOUT', message: 'Waiting took longer than 10 ms' });
    expect(told).toBe(error);
  });

  it('rejects with CE_ABORTED when a signal fires, and does not start when it has', async () => {
    const abort = new AbortController();
    const waiting = withDeadline(limits(1000, abort.signal), never);
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'CE_ABORTED', cause: { message: 'enough' } });
    let started = false;
    const late = withDeadline(limits(1000, abort.signal), async () => {
      started = true;
    });
    await expect(late).rejects.toMatchObject({ code: 'CE_ABORTED' });
    expect(started).toBe(false);
  });

  it('passes on a reason that is a CheckpointEngineError', async () => {
    const reason = new CheckpointEngineError('CE_CLOSED', 'Closed', 'Open it');
    await expect(withDeadline(limits(1000, AbortSignal.abort(reason)), never)).rejects.toBe(reason);
  });
});
