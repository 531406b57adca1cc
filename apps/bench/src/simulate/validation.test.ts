import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { validateOwn } from './validate-own.ts';
import { validatePublished } from './validate-published.ts';
import { isNear, type ValidatedRow } from './validated-row.ts';
import { rowLine } from './validation-page.ts';

/** Plans for 256 ranks and 139,583 tensors take seconds on a busy machine. */
const TIMEOUT_MS = 300_000;

const page = readFileSync(new URL('../../SIMULATION.md', import.meta.url), 'utf8').split('\n');
const missing = (rows: readonly ValidatedRow[]): string[] => rows.map(rowLine).filter((line) => !page.includes(line));
const far = (rows: readonly ValidatedRow[]): string[] => rows.filter((row) => !isNear(row)).map(({ label }) => label);

describe('SIMULATION.md', () => {
  it('has the predictions of the published rows, and all but one are accurate', { timeout: TIMEOUT_MS }, () => {
    const { rows } = validatePublished(false);
    expect(missing(rows)).toEqual([]);
    expect(far(rows)).toEqual(['first: DeepSeek-V3.1 FP8, 256 x H20, python-p2p-first']);
  });

  it('has the predictions of our own runs, and all are accurate', { timeout: TIMEOUT_MS }, () => {
    const rows = validateOwn();
    expect(missing(rows)).toEqual([]);
    expect(far(rows.filter(({ row }) => row.by === 'checkpoint-engine'))).toEqual([]);
  });
});
