import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FROZEN_BEATS, Heartbeat } from './heartbeat.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const start = () => {
  const log: string[] = [];
  const heartbeat = new Heartbeat({
    ask: () => log.push('ask'),
    onChange: (isAnswering) => log.push(isAnswering ? 'answers' : 'unresponsive'),
    onFrozen: () => log.push('frozen'),
  });
  return { log, heartbeat, changes: () => log.filter((entry) => entry !== 'ask') };
};

describe('Heartbeat', () => {
  it('reports nothing about a process that answers', () => {
    const { heartbeat, changes } = start();
    for (let beat = 0; beat < 100; beat++) {
      vi.advanceTimersByTime(1_000);
      heartbeat.noteMessage();
    }
    expect(changes()).toEqual([]);
  });

  it('reports that a process is unresponsive, and that it answers again', () => {
    const { heartbeat, changes } = start();
    vi.advanceTimersByTime(8_000);
    heartbeat.noteMessage();
    heartbeat.noteMessage();
    vi.advanceTimersByTime(2_000);
    expect(changes()).toEqual(['unresponsive', 'answers']);
  });

  it('declares a process lost once, and stops asking', () => {
    const { log, changes } = start();
    vi.advanceTimersByTime(1_000 * FROZEN_BEATS);
    const { length } = log;
    vi.advanceTimersByTime(60_000);
    expect(changes()).toEqual(['unresponsive', 'frozen']);
    expect(log).toHaveLength(length);
  });

  it('reports nothing after it is stopped', () => {
    const { heartbeat, log } = start();
    heartbeat.stop();
    vi.advanceTimersByTime(60_000);
    expect(log).toEqual([]);
  });
});
