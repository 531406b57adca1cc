import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const bench = (...args: string[]): string =>
  execFileSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

describe('bench update on the host', () => {
  let folder: string;
  let result: { rows: { what: string; by: string; checked?: number; wrong?: number; samplesMs: number[] }[] };
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'bench-'));
    const json = join(folder, 'update.json');
    const world = ['--device', 'host', '--ranks', '2', '--updates', '2', '--registers', '1', '--timelines'];
    bench('update', ...world, '--model', 'mixed', '--bucket-sizes', '1MiB', '--data-dir', folder, '--json', json);
    result = JSON.parse(readFileSync(json, 'utf8'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('checks every tensor of every dtype in every receiver', () => {
    const update = result.rows.find(({ checked }) => checked !== undefined);
    expect(update).toMatchObject({ by: 'checkpoint-engine', what: 'update', checked: 2 * 17 * 7, wrong: 0 });
    expect(update?.samplesMs).toHaveLength(2);
  });

  it('keeps checkpoints, and leaves no unfinished files', () => {
    expect(readdirSync(folder).toSorted()).toEqual(['mixed', 'one', 'update.json']);
  });
});
