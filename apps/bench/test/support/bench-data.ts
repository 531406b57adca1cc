import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll } from 'vitest';

/** Folder for checkpoints: `CHECKPOINT_ENGINE_BENCH_DATA`, or a temporary folder that is removed after the tests. */
export function benchData(): string {
  const kept = process.env.CHECKPOINT_ENGINE_BENCH_DATA;
  if (kept !== undefined) return kept;
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
