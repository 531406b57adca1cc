import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeMachine } from '../report/machine.ts';
import type { BenchResult, Target } from '../report/result.ts';
import { resultPages } from './results-folder.ts';
import { detailPage } from './results-markdown.ts';
import { resultsSummary } from './results-summary.ts';

const result = (date: string, ms: number, targets: readonly Target[] = []): BenchResult => ({
  ...{ version: 2, scenario: 'update', title: `Took ${ms} ms`, options: {}, targets },
  machine: { ...describeMachine(), date, commit: 'abc1234' },
  rows: [
    { by: 'checkpoint-engine', what: 'update', sizeBytes: 1, samplesMs: [1] },
    { by: 'checkpoint-engine', what: 'update', sizeBytes: 9, samplesMs: [ms], floorMs: 80, checked: 3, wrong: 0 },
    { by: 'a|b', what: 'update', samplesMs: [300], sizeBytes: 1e9 },
    { by: 'Python tool, as shipped', what: 'update', samplesMs: [400] },
  ],
});
const kept = (slug: string, date: string, ms: number, targets?: readonly Target[]) => ({
  name: `${date}-${slug}`,
  slug,
  result: result(date, ms, targets),
});
const NONE = { missed: {}, unjudged: {} };

describe('the pages of results', () => {
  it('are the output of `npm run results -w apps/bench` for the files next to them', () => {
    const pages = resultPages();
    for (const [path, text] of pages) expect(readFileSync(path, 'utf8'), path).toBe(text);
    const details = [...pages.keys()].filter((path) => basename(dirname(path)) === 'pages');
    expect(readdirSync(dirname(details[0]!)).toSorted()).toEqual(details.map((path) => basename(path)).toSorted());
  });

  it('begin with a summary that fits on two screens', () => {
    const [, summary] = [...resultPages()].find(([path]) => basename(path) === 'RESULTS.md')!;
    expect(summary.split('\n').length).toBeLessThanOrEqual(80);
  });
});

describe('the summary', () => {
  it('has a row per scenario and machine, with floor and peer', () => {
    const page = resultsSummary([kept('h100-a', '2026-01-02', 100)], NONE);
    const [row] = page.split('\n').filter((text) => text.startsWith('| update: [h100-a]'));
    expect(row).toContain('results/pages/2026-01-02-h100-a.md');
    expect(row).toContain('| 2026-01-02 | 100 ms | 80.0 ms | 400 ms | 0 of 3 | - |');
  });

  it('refuses two results of one scenario and machine', () => {
    const two = [kept('h100-a', '2026-01-01', 150), kept('h100-b', '2026-01-02', 100)];
    expect(() => resultsSummary(two, NONE)).toThrow(/^2026-01-01-h100-a and 2026-01-02-h100-b are both "update, /);
  });

  it('does not count an update as wrong that changed nothing', () => {
    const { name, slug, result: whole } = kept('h100-a', '2026-01-01', 100);
    const rows = whole.rows.map((row) => (row.checked === 3 ? { ...row, wrong: 1 } : row));
    const unjudged = { updates: 1, why: 'one changed nothing' };
    const one = { name, slug, unjudged, result: { ...whole, rows } };
    expect(resultsSummary([one], NONE)).toContain('| 0 of 2; one changed nothing |');
    expect(detailPage(one)).not.toContain('WRONG');
    expect(detailPage({ ...one, unjudged: undefined })).toContain('**1 WRONG**');
  });

  it('lists missed targets with their reasons', () => {
    const targets = [
      { what: 'update <= 1.15 x floor', measured: 100, atMost: 92, unit: 'ms' },
      { what: 'update <= 1.15 x floor + fixed time', measured: 100, atMost: 95, unit: 'ms' },
      { what: 'growth', measured: 0, atMost: 0, unit: 'files' },
    ];
    const page = resultsSummary([kept('h100-a', '2026-01-01', 100, targets)], {
      ...NONE,
      missed: { 'h100-a': 'The reason' },
    });
    expect(page).toContain('missed 1 of 2: update &lt;= 1.15 x floor + fixed time (100 ms). The reason |');
  });
});

describe('the page of a result', () => {
  it('has the commit, a link to the file and every table', () => {
    const page = detailPage(kept('h100-a', '2026-01-01', 100));
    expect(page).toContain('# Took 100 ms');
    expect(page).toContain('commit abc1234');
    expect(page).toContain('[JSON](../2026-01-01-h100-a.json)');
    expect(page).toContain('| update | a\\|b | 300 ms |');
  });
});
