import { describe, expect, it } from 'vitest';
import type { RankReport, ReportedUpdate, StageSpan } from './reported-update.ts';
import { updatePage } from './update-page.ts';

const spans: StageSpan[] = Array.from({ length: 40 }, (_, index) => [
  { stage: 'h2d', index, fromMs: 20 + index * 10, toMs: 30 + index * 10, sizeBytes: 4e8 },
  { stage: 'reload', index, fromMs: 31 + index * 10, toMs: 33 + index * 10, sizeBytes: 4e8 },
]).flat();
const rank = (number: number, neededBytes = 16e9): RankReport => ({
  ...{ rank: number, device: 'NVIDIA H100', neededBytes, receivedBytes: neededBytes, poolBytes: 8e9, spans },
  phases: [
    { name: 'plan', fromMs: 0, toMs: 4 },
    { name: 'handshake', fromMs: 4, toMs: 20 },
    { name: 'stream', fromMs: 20, toMs: 423 },
    { name: 'hook', fromMs: 423, toMs: 440 },
  ],
});
const update: ReportedUpdate = {
  title: 'step <100> into 2 ranks',
  outcome: 'succeeded',
  date: '2026-01-31T12:00:00Z',
  facts: [['Method', 'buckets']],
  totalBytes: 16e9,
  deviceBytes: 2 ** 30,
  warnings: ['The "ring" is small'],
  ranks: [rank(0), rank(1)],
};

describe('updatePage', () => {
  const page = updatePage(update);

  it('states which phase and which stage took longest', () => {
    expect(page).toContain('The longest phase is stream, with 403 ms on the slowest rank');
    expect(page).toContain('limited by: host to device');
    expect(page).toContain('The fastest buckets of rank 0 reached, in GB/s: h2d 40.0, reload 200');
  });

  it('draws every block, and never a rate above that of the fastest bucket', () => {
    expect(page.match(/<rect[ >]/g)!.length).toBeGreaterThan(2 * spans.length);
    const short: StageSpan[] = [{ stage: 'pull', index: 0, fromMs: 5, toMs: 5.01, sizeBytes: 1e9 }, ...spans];
    expect(updatePage({ ...update, ranks: [{ ...rank(0), spans: short }] })).not.toContain('pull 100000');
  });

  it('is one file without scripts or addresses, in light and dark', () => {
    expect(page).not.toMatch(/<script|(?:src|href)="(?!#)|url\(http/);
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page.length).toBeLessThan(2 ** 20);
  });

  it('escapes its input', () => {
    expect(page).toContain('step &lt;100&gt; into 2 ranks');
    expect(page).toContain('The &quot;ring&quot; is small');
    expect(page).not.toContain('<100>');
  });

  it('has further tables, and several updates', () => {
    const table = { title: 'NICs <limit>', head: ['what if', 'time'], rows: [['NICs & more', '4 s']], caption: 'How' };
    const both = updatePage({ ...update, outcome: 'simulated', tables: [table] }, { ...update, title: 'another' });
    expect(both).toContain('<h2>NICs &lt;limit&gt;</h2>');
    expect(both).toContain('<td>NICs &amp; more</td><td class="number">4 s</td>');
    expect(both.match(/<h1>/g)).toHaveLength(2);
    expect(both.match(/<html/g)).toHaveLength(1);
  });

  it('compares what workers keep with a broadcast of everything', () => {
    expect(page).not.toContain('of what a broadcast');
    const pulled = updatePage({ ...update, ranks: [rank(0, 4e9), rank(1, 4e9)] });
    expect(pulled).toContain('25.0 % of what a broadcast to every rank moves');
  });

  it('shows why an update failed, without a timeline', () => {
    const error = { code: 'CE_WORKER_FAILED', what: 'The worker raised', hint: 'Read its log' };
    const failed = updatePage({ ...update, outcome: 'failed', error, ranks: [{ ...rank(0), spans: [], phases: [] }] });
    for (const text of ['failed', 'CE_WORKER_FAILED: The worker raised', 'Read its log'])
      expect(failed).toContain(text);
    expect(updatePage({ ...update, ranks: [] })).toContain('Ranks');
  });

  it('stays small with many ranks and buckets', () => {
    const many = Array.from({ length: 256 }, (_, number) => rank(number));
    const large = updatePage({ ...update, ranks: many });
    expect(large.length).toBeLessThan(3 * 2 ** 20);
    expect(large).toContain('128 more ranks are left out');
    expect(large).toContain('8 of 256 ranks are shown');
  });
});
