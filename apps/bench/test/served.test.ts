// Short runs of the long scenarios, so that they still work when somebody needs them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import type { BenchResult } from '../src/report/result.ts';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-served-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function bench(...args: string[]): Promise<BenchResult> {
  const json = join(folder, `${args[0]}.json`);
  const child = spawn(execPath, [MAIN, ...args, '--json', json], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [status] = (await once(child, 'exit')) as [number | null];
  const result = JSON.parse(readFileSync(json, 'utf8')) as BenchResult;
  expect(result.notes ?? []).toEqual([]);
  expect(status).toBe(0);
  return result;
}

const rowOf = (result: BenchResult, name: string) => result.rows.find(({ what }) => what === name)!;

it('soak: cycles leave nothing behind', async () => {
  const result = await bench('soak', '--cycles', '20', '--size', '2MiB');
  const held = rowOf(result, 'what is held').figures!;
  expect(held).toMatchObject({ segmentsBetweenCycles: 0, segmentsLeft: 0 });
  // A connection that is just being closed counts; one a cycle would be more.
  expect(held.openFiles).toBeLessThan(8);
  expect(rowOf(result, 'update')).toMatchObject({ wrong: 0 });
  expect(rowOf(result, 'update').samplesMs).toHaveLength(20);
});

it('chaos: every death is named, and the next update works', async () => {
  const result = await bench('chaos', '--rounds', '3', '--ranks', '2', '--size', '32MiB', '--seed', '7');
  for (const victim of ['rank', 'server', 'worker']) {
    expect(rowOf(result, `death of a ${victim} is known`)).toMatchObject({ checked: 1, wrong: 0 });
  }
});
