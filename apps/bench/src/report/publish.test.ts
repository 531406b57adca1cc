import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeMachine } from './machine.ts';
import { publish } from './publish.ts';
import type { BenchResult, ResultRow } from './result.ts';

const row: ResultRow = {
  by: 'checkpoint-engine',
  what: 'update',
  model: 'Qwen3-8B',
  ranks: 2,
  bucketBytes: 128 * 2 ** 20,
  samplesMs: [100, 120, 110],
  sizeBytes: 11e9,
  floorMs: 99,
  deviceBytes: 2 ** 30,
  checked: 399,
  wrong: 0,
};
const resultOf = (rows: readonly ResultRow[]): Omit<BenchResult, 'version'> => ({
  scenario: 'update',
  title: 'Updates take 110 ms',
  machine: describeMachine(),
  options: {},
  rows,
  targets: [
    { what: 'fast', measured: 110, atMost: 120, unit: 'ms' },
    { what: 'small', measured: 3, atMost: 1, unit: 'GiB' },
  ],
});

describe('publish', () => {
  let folder: string;
  let printed = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'publish-'));
    printed = '';
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    process.exitCode = undefined;
    rmSync(folder, { recursive: true });
  });

  it('prints medians, rates, the share of the floor and missed targets', () => {
    expect(publish(resultOf([row]), {})).toBe(true);
    for (const text of ['Updates take 110 ms', '110 ms (128 MiB)', '120 ms', '100 ', '90 %', '0 of 399', 'MISSED'])
      expect(printed).toContain(text);
    expect(process.exitCode).toBeUndefined();
  });

  it('fails the process if anything is wrong', () => {
    expect(publish(resultOf([row, { ...row, wrong: 2 }]), {})).toBe(false);
    expect(process.exitCode).toBe(1);
    expect(printed).toContain('WRONG: 2');
  });

  it('fails the process if a required target is missed', () => {
    const target = { what: 'explained', measured: 40, atMost: 32, unit: 'MiB', isRequired: true };
    const memory = [
      { who: 'rank 0', sizeBytes: 552 * 2 ** 20, parts: { pool: 512 * 2 ** 20 }, unexplainedBytes: 40 * 2 ** 20 },
    ];
    expect(publish({ ...resultOf([row]), memory, targets: [{ ...target, measured: 30 }] }, {})).toBe(true);
    expect(printed).toMatch(/rank 0 +552 MiB +512 MiB +40 MiB/);
    expect(process.exitCode).toBeUndefined();
    expect(publish({ ...resultOf([row]), targets: [target] }, {})).toBe(false);
    expect(process.exitCode).toBe(1);
  });

  it('creates the folder and writes versioned JSON with the machine and the commit', () => {
    const json = join(folder, 'new', 'result.json');
    publish(resultOf([row]), { json });
    const { version, machine, rows } = JSON.parse(readFileSync(json, 'utf8')) as BenchResult;
    expect({ version, rows }).toEqual({ version: 2, rows: [row] });
    expect(machine.commit).toMatch(/^[0-9a-f]{7,}/);
  });
});
