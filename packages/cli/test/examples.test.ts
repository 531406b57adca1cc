import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const EXAMPLES = fileURLToPath(new URL('../../../examples/', import.meta.url));

/** The last line that each example prints. */
const LAST_LINES: Readonly<Record<string, RegExp>> = {
  '01-plan-dry-run': /^Plan [0-9a-f]{16}: \d+ buckets of 182 tensors, no byte moved$/,
  '02-host-broadcast': /^2 workers hold 32 tensors, 33554432 bytes in 8 buckets$/,
};

describe('the examples', () => {
  it('are all run here', () => {
    const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).sort()).toEqual(Object.keys(LAST_LINES));
  });

  it.each(Object.keys(LAST_LINES))('%s is at most 60 lines long', (name) => {
    expect(readFileSync(`${EXAMPLES}${name}/main.mjs`, 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(60);
  });

  it.each(Object.entries(LAST_LINES))('%s does what it says', async (name, lastLine) => {
    expect(await lastLineOf([`${EXAMPLES}${name}/main.mjs`])).toMatch(lastLine);
  });
});

describe('the example of the README of ps', () => {
  it('runs as it stands there', async () => {
    const folder = fileURLToPath(new URL('../../ps/', import.meta.url));
    const [, code] = /```ts\n(.*?)```/s.exec(readFileSync(`${folder}README.md`, 'utf8'))!;
    expect(await lastLineOf(['--input-type=module', '--eval', code!], folder)).toBe('Float32Array(4) [ 1, 2, 3, 4 ]');
  });
});

/** Runs Node.js to its end, which has to be a good one, and gives the last line that it printed. */
async function lastLineOf(args: readonly string[], cwd?: string): Promise<string | undefined> {
  const child = spawn(execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.trimEnd().split('\n').at(-1);
}
