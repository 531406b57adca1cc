import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { WorldSettings } from '../config/requests.ts';
import type { ToRank } from './messages.ts';
import type { RankPortEvents } from './rank-port.ts';
import { SupervisedRank } from './supervised-rank.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A rank whose process the test simulates. */
const start = () => {
  const sent: ToRank['type'][] = [];
  let events!: RankPortEvents;
  let kills = 0;
  const rank = new SupervisedRank({
    rank: 3,
    onLogLine: () => {},
    open: (given) => {
      events = given;
      return {
        send: ({ type }) => sent.push(type),
        close: () => {},
        kill: () => {
          kills += 1;
        },
      };
    },
  });
  void rank.open({} as WorldSettings);
  events.onMessage({ type: 'opened', device: { kind: 'host', uuid: 'HOST-x-3', name: 'host' } });
  return { rank, sent, events: () => events, kills: () => kills };
};

describe('SupervisedRank', () => {
  it('fails the calls of a process that hangs, and kills it', async () => {
    const { rank, sent, kills, events } = start();
    const { outcome } = rank.call('unregister', { name: 'a' });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(sent).toContain('ping');
    expect(await outcome).toMatchObject({ failure: { rank: 3, died: true, error: { code: 'CE_RANK_LOST' } } });
    expect(kills()).toBe(1);
    expect(rank.isRunning).toBe(false);
    // Nothing waits for it any more.
    expect(await rank.call('unregister', { name: 'b' }).outcome).toMatchObject({ failure: { rank: 3 } });
    events().onExit({ code: null, signal: 'SIGKILL' });
    expect(await rank.ended).toMatchObject({ error: { message: expect.stringMatching(/did not answer for 20 s/) } });
  });

  it('does not kill a process that answers', async () => {
    const { kills, events } = start();
    for (let second = 0; second < 60; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      events().onMessage({ type: 'pong' });
    }
    expect(kills()).toBe(0);
  });

  it('counts a killed process that hangs in the kernel as ended', async () => {
    const { rank, kills } = start();
    const { outcome } = rank.call('unregister', { name: 'a' });
    rank.kill();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(kills()).toBe(1);
    await rank.ended;
    expect(await outcome).toMatchObject({ failure: { error: { code: 'CE_CLOSED' } } });
  });
});
