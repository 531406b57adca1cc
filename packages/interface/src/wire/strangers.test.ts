import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Strangers } from './strangers.ts';

class FakeSocket extends EventEmitter {
  isPaused = false;
  isDestroyed = false;
  resume(): void {
    this.isPaused = false;
  }
  pause(): void {
    this.isPaused = true;
  }
  destroySoon(): void {
    this.destroy();
  }
  destroy(): void {
    this.isDestroyed = true;
    this.emit('close');
  }
}

describe('Strangers', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('closes only connections that do not authenticate in time', () => {
    const strangers = new Strangers({ most: 8, timeoutMs: 1_000 });
    const [silent, known] = [new FakeSocket(), new FakeSocket()];
    strangers.admit(silent);
    strangers.admit(known).welcome();
    vi.advanceTimersByTime(1_000);
    expect([silent.isDestroyed, known.isDestroyed]).toEqual([true, false]);
    expect(strangers.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('closes refused connections, with a delay if there are many', () => {
    const strangers = new Strangers({ most: 9_999, timeoutMs: 60_000 });
    const sockets = Array.from({ length: 1_100 }, () => new FakeSocket());
    const outs = sockets.map((socket) => {
      const stranger = strangers.admit(socket);
      stranger.refuse('garbage');
      return stranger.isOut && socket.isPaused;
    });
    expect(outs).not.toContain(false);
    const closed = () => sockets.filter(({ isDestroyed }) => isDestroyed).length;
    expect(closed()).toBe(20);
    // Those that wait are closed 5 ms apart, the first ones together once they have had time to read the reason.
    vi.advanceTimersByTime(1_000);
    expect(closed()).toBe(20 + 200);
    vi.advanceTimersByTime(2_000);
    expect(closed()).toBe(20 + 600);
    vi.advanceTimersByTime(3_000);
    expect(closed()).toBe(1_100);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('closes at the rate of its listener', () => {
    const strangers = new Strangers({ most: 9_999, timeoutMs: 60_000, closeEveryMs: 50 });
    const sockets = Array.from({ length: 100 }, () => new FakeSocket());
    for (const socket of sockets) strangers.admit(socket).refuse('garbage');
    const closed = () => sockets.filter(({ isDestroyed }) => isDestroyed).length;
    vi.advanceTimersByTime(1_000);
    expect(closed()).toBe(20 + 20);
    vi.advanceTimersByTime(3_000);
    expect(closed()).toBe(100);
  });

  it('does not make one wait for those that left by themselves', () => {
    const strangers = new Strangers({ most: 100, timeoutMs: 60_000, closeEveryMs: 50 });
    for (let each = 0; each < 10_000; each++) {
      const socket = new FakeSocket();
      strangers.admit(socket).refuse('garbage');
      socket.destroy();
    }
    const last = new FakeSocket();
    strangers.admit(last).refuse('garbage');
    vi.advanceTimersByTime(100 * 50);
    expect(last.isDestroyed).toBe(true);
  });

  it('reads a peer that sends single bytes ten times per second', () => {
    const strangers = new Strangers({ most: 8, timeoutMs: 60_000 });
    const socket = new FakeSocket();
    const stranger = strangers.admit(socket);
    for (let piece = 0; piece < 8; piece++) stranger.dribble();
    expect(socket.isPaused).toBe(false);
    stranger.dribble();
    expect(socket.isPaused).toBe(true);
    vi.advanceTimersByTime(100);
    expect(socket.isPaused).toBe(false);
    const lateSocket = new FakeSocket();
    const late = strangers.admit(lateSocket);
    for (let piece = 0; piece < 9; piece++) late.dribble();
    late.welcome();
    expect([lateSocket.isPaused, vi.getTimerCount()]).toEqual([false, 1]);
    stranger.dribble();
    stranger.refuse('garbage');
    vi.advanceTimersByTime(100);
    expect([socket.isPaused, socket.isDestroyed, vi.getTimerCount()]).toEqual([true, true, 0]);
  });

  it('closes an authenticated connection immediately', () => {
    const strangers = new Strangers({ most: 8, timeoutMs: 60_000 });
    const socket = new FakeSocket();
    const known = strangers.admit(socket);
    known.welcome();
    known.refuse('garbage');
    expect([socket.isDestroyed, known.isOut, vi.getTimerCount()]).toEqual([true, true, 0]);
  });

  it('closes the connection with the least progress if there are too many', () => {
    const strangers = new Strangers({ most: 3, timeoutMs: 60_000 });
    const sockets = Array.from({ length: 5 }, () => new FakeSocket());
    const [first, second, third, fourth, fifth] = sockets as [
      FakeSocket,
      FakeSocket,
      FakeSocket,
      FakeSocket,
      FakeSocket,
    ];
    strangers.admit(first).advance();
    strangers.admit(second);
    strangers.admit(third).advance();
    strangers.admit(fourth);
    expect(sockets.map(({ isDestroyed }) => isDestroyed)).toEqual([false, true, false, false, false]);
    strangers.admit(fifth);
    expect(sockets.map(({ isDestroyed }) => isDestroyed)).toEqual([false, true, false, true, false]);
    strangers.close();
    expect(sockets.every(({ isDestroyed }) => isDestroyed)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('reports refusals in one line per ten seconds', () => {
    const onRefused = vi.fn();
    const strangers = new Strangers({ most: 999, timeoutMs: 60_000, onRefused });
    const refuse = () => strangers.admit(new FakeSocket()).refuse('garbage');
    for (let i = 0; i < 100; i++) refuse();
    expect(onRefused.mock.calls).toEqual([['garbage', 1]]);
    vi.advanceTimersByTime(10_000);
    refuse();
    expect(onRefused.mock.calls[1]).toEqual(['garbage', 100]);
  });
});
