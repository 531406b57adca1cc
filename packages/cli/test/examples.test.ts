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
    const { code, stdout, stderr } = await run(`${EXAMPLES}${name}/main.mjs`);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(lastLine);
  });
});

async function run(file: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
