import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const deno = path('../../../node_modules/.bin/deno');

if (!existsSync(deno)) console.warn('skipped: the suites under Deno: npm did not install Deno');

it.skipIf(!existsSync(deno))('passes the compliance suites under Deno', { timeout: 300_000 }, async () => {
  const args = ['test', '--allow-all', '--no-check', path('./deno-compliance.js')];
  const running = promisify(execFile)(deno, args, { env: { ...process.env, NO_COLOR: '1' } });
  const { stdout } = await running.catch(({ message, stdout }) => {
    throw new Error(`${message}\n${stdout?.slice(-8000)}`);
  });
  // A suite is one test there, and its tests are steps; fewer would mean that they were not registered.
  const [, steps] = /ok \| 2 passed \((\d+) steps\) \| 0 failed/.exec(stdout) ?? [];
  expect(Number(steps), stdout.slice(-2000)).toBeGreaterThan(80);
});
