import { describe, expect, it } from 'vitest';
import { describeMachine } from '../report/machine.ts';
import type { BenchResult } from '../report/result.ts';
import { measuredTable, withMeasuredTable } from './measured-table.ts';

const resultOf = (date: string, ms: number, theirMs?: number): BenchResult => ({
  ...{ version: 2, scenario: 'update', title: 't', options: {}, targets: [] },
  machine: { ...describeMachine(), device: 'NVIDIA H100', date },
  rows: [
    { by: 'checkpoint-engine', what: 'update', model: 'Qwen3-8B', ranks: 1, samplesMs: [ms], floorMs: 310 },
    ...(theirMs === undefined
      ? []
      : [{ by: 'Python tool, group kept', what: 'update', model: 'Qwen3-8B', ranks: 1, samplesMs: [theirMs] }]),
  ],
});

describe('the README table', () => {
  it('has the newest run that the Python tool took part in', () => {
    const results = [resultOf('2026-01-01', 500, 900), resultOf('2026-01-02', 400, 800), resultOf('2026-01-03', 100)];
    expect(measuredTable(results)?.split('\n').slice(2)).toEqual([
      '| update of Qwen3-8B | 1 x NVIDIA H100 | 400 ms | 800 ms group kept, 2.00 x | 310 ms |',
    ]);
    expect(measuredTable([resultOf('2026-01-03', 100)])).toBeUndefined();
  });

  it('is written between the marks, again and again', () => {
    const readme = 'a\n<!-- measured: written by npm run results -w apps/bench -->\n\nold\n\n<!-- /measured -->\nb';
    const once = withMeasuredTable(readme, '| new |');
    expect(once).toContain('-->\n\n| new |\n\n<!-- /measured -->\nb');
    expect(withMeasuredTable(once, '| new |')).toBe(once);
    expect(withMeasuredTable(readme, undefined)).toBe(readme);
  });
});
