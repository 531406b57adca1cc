import { afterEach, expect, it, vi } from 'vitest';
import { UpdateRecord } from './update-record.ts';

afterEach(() => {
  vi.useRealTimers();
});

it.each([-3600_000, 3600_000])(
  'an update during which the wall clock is set by %i ms has its own duration',
  (jumpMs) => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const record = new UpdateRecord('1', 'a', { ranks: [] } as never);
    record.begin();
    vi.setSystemTime(Date.now() + jumpMs);
    const isPlausible = (durationMs: number): boolean => durationMs >= 0 && durationMs < 3000_000;
    expect(record.durationMs).toSatisfy(isPlausible);
    record.end({});
    expect(record.durationMs).toSatisfy(isPlausible);
    expect(record.endedAtMs! - record.startedAtMs!).toBe(jumpMs);
  },
);
