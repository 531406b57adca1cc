import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { mooncakeForTests } from './support/mooncake.ts';
import { pattern } from './support/pattern.mjs';

const script = fileURLToPath(new URL('./support/round-trip.mjs', import.meta.url));
const deno = fileURLToPath(new URL('../../../node_modules/.bin/deno', import.meta.url));
const { python, missing } = await mooncakeForTests();

describe.skipIf(missing)('a process that opens, reads and closes ends by itself', () => {
  test.each([
    ['Node.js', process.execPath, [script]],
    ['Deno', deno, ['run', '--allow-all', script]],
  ])('under %s', (_, file, args) => {
    const env = { ...process.env, MOONCAKE_PYTHON: python };
    const output = execFileSync(file, args, { env, encoding: 'utf8', timeout: 50_000 });
    expect(output.trim()).toBe(createHash('sha256').update(pattern(5_000_001, 1)).digest('hex'));
  });
});
