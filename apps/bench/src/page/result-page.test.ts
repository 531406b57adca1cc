import { describe, expect, it } from 'vitest';
import { describeMachine } from '../report/machine.ts';
import type { BenchResult, ResultRow, StageSpan } from '../report/result.ts';
import { resultPage } from './result-page.ts';

const GIB = 2 ** 30;
const update = (deviceBytes: number, ms: number): ResultRow => ({
  ...{ by: 'checkpoint-engine', what: 'update', model: 'Qwen3-8B', ranks: 1, bucketBytes: GIB / 8 },
  settings: { 'device-memory': `${deviceBytes}` },
  ...{ samplesMs: [ms], sizeBytes: 16 * GIB, floorMs: 320, deviceBytes, checked: 399, wrong: 0 },
  phasesMs: { plan: 4, handshake: 16, stream: 300, release: 60, hook: 20, total: 400 },
});
const spans: StageSpan[] = Array.from({ length: 40 }, (_, bucket) => [
  ['h2d', bucket, bucket * 10, bucket * 10 + 10, 4e8] as const,
  ['reload', bucket, bucket * 10 + 11, bucket * 10 + 13, 4e8] as const,
]).flat();
const result: BenchResult = {
  version: 2,
  scenario: 'update',
  title: 'An engine <of a test> takes 400 ms',
  machine: describeMachine(),
  options: {},
  rows: [
    { by: 'floor: pinned copies', what: 'H2D, one GPU alone', sizeBytes: 16 * GIB, samplesMs: [320] },
    update(GIB / 4, 420),
    update(GIB, 400),
  ],
  targets: [{ what: 'fast', measured: 400, atMost: 300, unit: 'ms' }],
  timelines: [{ label: 'one rank', ranks: [{ rank: 0, spans }] }],
};

describe('resultPage', () => {
  const page = resultPage([result]);

  it('says in words where the time goes', () => {
    expect(page).toContain(
      '75 % of 400 ms moves the bytes (floor 320 ms), 20 % is the engine letting go and finishing',
    );
    expect(page).toContain('what they wait for is: host to device');
    expect(page).toContain('420 ms with 256 MiB of device memory, 400 ms with 1 GiB');
  });

  it('draws phases, timeline, bandwidth and memory, with floors, units and legends', () => {
    expect(page.match(/<h2>/g)?.length).toBeGreaterThanOrEqual(6);
    expect(page).toContain('floor 320 ms');
    expect(page).toMatch(/floor: H2D, one GPU alone 53\.7/);
    for (const unit of ['milliseconds', 'GB/s', 'GiB']) expect(page).toContain(unit);
    expect(page).toContain('reload by the engine');
    expect(page.match(/<rect[ >]/g)?.length).toBeGreaterThan(spans.length);
  });

  it('needs nothing but itself: no script, no address', () => {
    expect(page).not.toMatch(/<script|(src|href)="(?!#)/);
    expect(page.length).toBeLessThan(2 ** 20);
    expect(page).toContain('An engine &lt;of a test&gt;');
  });

  it('shows missed targets and wrong bytes', () => {
    expect(page).toContain('class="missed"');
    const wrong = { ...result, rows: [{ ...update(GIB, 400), wrong: 3 }] };
    expect(resultPage([wrong])).toContain('3 WRONG');
  });
});
