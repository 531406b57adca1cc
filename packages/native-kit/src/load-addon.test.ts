import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from './load-addon.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ce-load-addon-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const failure = (name: string): CheckpointEngineError => {
  try {
    loadAddon(pathToFileURL(`${folder}/`), name);
  } catch (error) {
    if (CheckpointEngineError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('loadAddon did not throw');
};

const PREBUILDS = join('prebuilds', `${process.platform}-${process.arch}`);

describe('loadAddon', () => {
  it('names the path that it tried, and how to build', () => {
    const error = failure('nothing');
    expect(error.code).toBe('CE_LIBRARY_NOT_FOUND');
    expect(error.message).toContain(join(folder, PREBUILDS, 'ce_nothing.node'));
    expect(error.hint).toContain('npm run build');
  });

  it("reports the system's error for a file that it cannot load", () => {
    mkdirSync(join(folder, PREBUILDS), { recursive: true });
    writeFileSync(join(folder, PREBUILDS, 'ce_broken.node'), 'not an ELF file');
    const error = failure('broken');
    expect(error.code).toBe('CE_LIBRARY_NOT_FOUND');
    expect(error.file).toBe(join(folder, PREBUILDS, 'ce_broken.node'));
    expect(error.message).toMatch(/invalid ELF|too short/);
    expect(error.cause).toBeInstanceOf(Error);
  });
});
