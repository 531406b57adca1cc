import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeMachine } from '../report/machine.ts';
import type { BenchResult } from '../report/result.ts';
import { README, RESULTS_PAGE, readmeWithResults, resultsOfFolder } from './results-folder.ts';
import { resultsMarkdown } from './results-markdown.ts';

const result = (title: string, date: string): BenchResult => ({
  ...{ version: 2, scenario: 'update', title, options: {}, targets: [] },
  machine: { ...describeMachine(), date, commit: 'abc1234' },
  rows: [{ by: 'a|b', what: 'update', samplesMs: [100], sizeBytes: 1e9, checked: 3, wrong: 0 }],
});

describe('RESULTS.md', () => {
  it('is what `npm run results -w apps/bench` makes of the files beside it', () => {
    expect(readFileSync(RESULTS_PAGE, 'utf8')).toBe(resultsOfFolder());
    expect(readFileSync(README, 'utf8')).toBe(readmeWithResults());
  });

  it('has a section for each result, the newest first, with commit and file, and then prose', () => {
    const page = resultsMarkdown(
      [
        { file: 'results/a.json', result: result('Older', '2026-01-01T00:00:00Z') },
        { file: 'results/b.json', result: result('Newer', '2026-01-02T00:00:00Z') },
      ],
      ['## By hand'],
    );
    expect(page.match(/^## .*/gm)).toEqual(['## Newer', '## Older', '## By hand']);
    expect(page).toContain('commit abc1234');
    expect(page).toContain('[json](results/b.json)');
    expect(page).toContain('| update | a\\|b | 100 ms | 10.0 | 0 of 3 |');
  });
});
