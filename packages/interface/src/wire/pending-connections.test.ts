import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PendingConnections } from './pending-connections.ts';

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

describe('PendingConnections', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('closes only connections that do not authenticate in time', () => {
    const pending = new PendingConnections({ maxCount: 8, timeoutMs: 1_000 });
    const [silent, known] = [new FakeSocket(), new FakeSocket()];
    pending.admit(silent);
    pending.admit(known).accept();
    vi.advanceTimersByTime(1_000);
    expect([silent.isDestroyed, known.isDestroyed]).toEqual([true, false]);
    expect(pending.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('closes refused connections, with a delay if there are many', () => {
    const pending = new PendingConnections({ maxCount: 9_999, timeoutMs: 60_000 });
    const sockets = Array.from({ length: 1_100 }, () => new FakeSocket());
    const outs = sockets.map((socket) => {
      const candidate = pending.admit(socket);
      candidate.refuse('garbage');
      return candidate.isClosed && socket.isPaused;
    });
    expect(outs).not.toContain(false);
    const closed = () => sockets.filter(({ isDestroyed }) => isDestroyed).length;
    expect(closed()).toBe(20);
    // Waiting connections are closed 5 ms apart; the first ones are closed together after a time to read the reason.
    vi.advanceTimersByTime(1_000);
    expect(closed()).toBe(20 + 200);
    vi.advanceTimersByTime(2_000);
    expect(closed()).toBe(20 + 600);
    vi.advanceTimersByTime(3_000);
    expect(closed()).toBe(1_100);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('closes at the rate of its listener', () => {
    const pending = new PendingConnections({ maxCount: 9_999, timeoutMs: 60_000, closeEveryMs: 50 });
    const sockets = Array.from({ length: 100 }, () => new FakeSocket());
    for (const socket of sockets) pending.admit(socket).refuse('garbage');
    const closed = () => sockets.filter(({ isDestroyed }) => isDestroyed).length;
    vi.advanceTimersByTime(1_000);
    expect(closed()).toBe(20 + 20);
    vi.advanceTimersByTime(3_000);
    expect(closed()).toBe(100);
  });

  it('does not make a connection wait for others that left by themselves', () => {
    const pending = new PendingConnections({ maxCount: 100, timeoutMs: 60_000, closeEveryMs: 50 });
    for (let each = 0; each < 10_000; each++) {
      const socket = new FakeSocket();
      pending.admit(socket).refuse('garbage');
      socket.destroy();
    }
    const last = new FakeSocket();
    pending.admit(last).refuse('garbage');
    vi.advanceTimersByTime(100 * 50);
    expect(last.isDestroyed).toBe(true);
  });

  it('reads a peer that sends single bytes ten times per second', () => {
    const pending = new PendingConnections({ maxCount: 8, timeoutMs: 60_000 });
    const socket = new FakeSocket();
    const candidate = pending.admit(socket);
    for (let piece = 0; piece < 8; piece++) candidate.throttle();
    expect(socket.isPaused).toBe(false);
    candidate.throttle();
    expect(socket.isPaused).toBe(true);
    vi.advanceTimersByTime(100);
    expect(socket.isPaused).toBe(false);
    const lateSocket = new FakeSocket();
    const late = pending.admit(lateSocket);
    for (let piece = 0; piece < 9; piece++) late.throttle();
    late.accept();
    expect([lateSocket.isPaused, vi.getTimerCount()]).toEqual([false, 1]);
    candidate.throttle();
    candidate.refuse('garbage');
    vi.advanceTimersByTime(100);
    expect([socket.isPaused, socket.isDestroyed, vi.getTimerCount()]).toEqual([true, true, 0]);
  });

  it('closes an authenticated connection immediately', () => {
    const pending = new PendingConnections({ maxCount: 8, timeoutMs: 60_000 });
    const socket = new FakeSocket();
    const known = pending.admit(socket);
    known.accept();
    known.refuse('garbage');
    expect([socket.isDestroyed, known.isClosed, vi.getTimerCount()]).toEqual([true, true, 0]);
  });

  it('closes the connection with the least progress if there are too many', () => {
    const pending = new PendingConnections({ maxCount: 3, timeoutMs: 60_000 });
    const sockets = Array.from({ length: 5 }, () => new FakeSocket());
    const [first, second, third, fourth, fifth] = sockets as [
      FakeSocket,
      FakeSocket,
      FakeSocket,
      FakeSocket,
      FakeSocket,
    ];
    pending.admit(first).advance();
    pending.admit(second);
    pending.admit(third).advance();
    pending.admit(fourth);
    expect(sockets.map(({ isDestroyed }) => isDestroyed)).toEqual([false, true, false, false, false]);
    pending.admit(fifth);
    expect(sockets.map(({ isDestroyed }) => isDestroyed)).toEqual([false, true, false, true, false]);
    pending.close();
    expect(sockets.every(({ isDestroyed }) => isDestroyed)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('reports refusals in one line per ten seconds', () => {
    const onRefused = vi.fn();
    const pending = new PendingConnections({ maxCount: 999, timeoutMs: 60_000, onRefused });
    const refuse = () => pending.admit(new FakeSocket()).refuse('garbage');
    for (let i = 0; i < 100; i++) refuse();
    expect(onRefused.mock.calls).toEqual([['garbage', 1]]);
    vi.advanceTimersByTime(10_000);
    refuse();
    expect(onRefused.mock.calls[1]).toEqual(['garbage', 100]);
  });
});
