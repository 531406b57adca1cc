import { stripVTControlCharacters } from 'node:util';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import pico from 'picocolors';
import { describe, expect, it } from 'vitest';
import { frameText } from './frame-text.ts';
import { reduceProgress, startProgress } from './progress-state.ts';

const NONE = { read: 0, h2d: 0, broadcast: 0, reload: 0, pull: 0 };
const plan = (rank: number, stageBytes: object): ProgressEvent => ({
  ...{ type: 'plan', rank, bucketBytes: 100, bucketCount: 2, ringSlots: 3, stagingSlots: 0, deviceBytes: 300 },
  ...{ totalBytes: 200, stageBytes: { ...NONE, ...stageBytes }, reason: '', atMs: 0 },
  ...{ method: 'buckets', methodReason: '', neededBytes: 200 },
});
const moved = (stage: 'read' | 'h2d' | 'broadcast' | 'reload' | 'pull', sizeBytes: number): ProgressEvent[] => [
  { type: 'bucket-start', stage, rank: 0, bucket: 0, sizeBytes, atMs: 0 },
  { type: 'bucket-end', stage, rank: 0, bucket: 0, sizeBytes, atMs: 500 },
];
const frame = (columns: number, events: readonly ProgressEvent[], { rankCount = 1, isColored = false } = {}) =>
  frameText({
    title: 'Updating to a-checkpoint-with-a-rather-long-name-step-100000',
    state: events.reduce(reduceProgress, startProgress(rankCount)),
    elapsedMs: 1234,
    columns,
    colors: pico.createColors(isColored),
  });
const GIB = 2 ** 30;
const bytes = { read: 16 * GIB, h2d: 16 * GIB, broadcast: 16 * GIB, reload: 16 * GIB };
const stream: ProgressEvent = { type: 'phase', phase: 'stream', rank: 0, atMs: 0 };
const half = [stream, plan(0, bytes), ...moved('read', 8 * GIB), ...moved('h2d', 3 * GIB), ...moved('reload', GIB)];
const names = (text: string) =>
  text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(' ')[0]);

describe('frameText', () => {
  it('has all bars in the order of the pipeline from the start', () => {
    expect(names(frame(80, [], { rankCount: 2 }))).toEqual(['read', 'copy', 'broadcast', 'load']);
    expect(names(frame(80, []))).toEqual(['read', 'copy', 'load']);
    // Bytes may reach stages in any order.
    expect(names(frame(80, [plan(0, bytes), ...moved('reload', GIB)]))).toEqual(['read', 'copy', 'broadcast', 'load']);
    expect(names(frame(80, [plan(0, { pull: GIB })]))).toEqual(['pull']);
  });

  it.each([1, 10, 20, 30, 40, 50, 60, 80, 100, 120, 200])('fits into %d columns', (columns) => {
    for (const events of [[], half]) {
      for (const line of frame(columns, events, { rankCount: 4 }).split('\n')) {
        expect([...line].length).toBeLessThan(Math.max(columns, 20));
      }
    }
  });

  it('shows bar, percentage and rate at 50 columns', () => {
    expect(frame(50, half).split('\n')).toEqual([
      'Updat…00000 · streaming into the engines · 1.23 s',
      '  read      ━━━━━━━━━──────────  50%     16 GiB/s',
      '  copy      ━━━────────────────  18%      6 GiB/s',
      '  broadcast ───────────────────',
      '  load      ━──────────────────   6%      2 GiB/s',
    ]);
  });

  it('shows sizes and the remaining time if there is room, in one kind of units', () => {
    const [, read] = frame(80, half).split('\n');
    expect(read).toBe('  read      ━━━━━━━━─────────  50%     16 GiB/s   8.0 / 16.0 GiB    500 ms left');
    const wide = frame(120, half);
    expect(wide.split('\n')[1]).toMatch(/50% {5}16 GiB\/s {3}8\.0 \/ 16\.0 GiB {4}500 ms left$/);
    expect(wide).not.toMatch(/[kMG]B/);
  });

  it('has the same text in colors', () => {
    const colored = frame(80, half, { isColored: true });
    expect(colored).toContain('\u001b[');
    expect(stripVTControlCharacters(colored)).toBe(frame(80, half));
    expect(frame(80, half)).not.toContain('\u001b');
  });
});
