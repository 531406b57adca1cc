import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { mooncakeForTests } from '../../transport-rdma/test/support/mooncake.ts';

const mooncake = await mooncakeForTests();
const DENO = createRequire(import.meta.url).resolve('@deno/linux-x64-glibc/deno');
const EXAMPLES = fileURLToPath(new URL('../../../examples/', import.meta.url));

/** The last line that each example prints; those for GPUs print what is missing without GPUs. */
const LAST_LINES: Readonly<Record<string, RegExp>> = {
  '01-plan-dry-run': /^Plan [0-9a-f]{16}: \d+ buckets of 182 tensors, no byte moved$/,
  '02-host-broadcast': /^2 workers hold 32 tensors, 33554432 bytes in 8 buckets$/,
  '03-own-transport': /^2 workers hold 12 tensors, sent through the store in 3 buckets$/,
  '04-nccl-broadcast': /^(\d+ GPUs hold the 67108864 bytes of GPU 0|Missing: .*lib(cuda|nccl).*)$/,
  '05-rdma-join': /^(The worker of the rank that joined holds 25165824 bytes .*|Missing: .*[Mm]ooncake.*)$/,
  '06-metrics': /^weights_phase\{phase="done"\} 1$/,
  '07-deno': /^The worker holds 65536 bytes that arrived over HTTP$/,
  '08-http-server': /^The engine holds 1, 2, 3, 4$/,
};

describe('the examples', () => {
  it('all run here', () => {
    const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).sort()).toEqual(Object.keys(LAST_LINES));
  });

  it.each(Object.keys(LAST_LINES))('%s has no file of more than 60 lines', (name) => {
    for (const file of readdirSync(EXAMPLES + name).filter((entry) => /\.m?[jt]s$/.test(entry))) {
      const lines = readFileSync(`${EXAMPLES}${name}/${file}`, 'utf8').trimEnd().split('\n');
      expect(lines.length, file).toBeLessThanOrEqual(60);
    }
  });

  it.each(Object.entries(LAST_LINES))('%s prints its last line', async (name, lastLine) => {
    const folder = EXAMPLES + name;
    const { scripts } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const [program, ...args] = scripts.start.split(' ');
    expect(await lastLineOf(program === 'deno' ? DENO : execPath, args, folder)).toMatch(lastLine);
  });

  it('include a transport that passes the compliance suite', async () => {
    const lines = await outputOf(execPath, ['--test', 'compliance.mjs'], `${EXAMPLES}03-own-transport`);
    expect(lines).toContain('# fail 0');
    expect(Number(/^# pass (\d+)$/m.exec(lines)![1])).toBeGreaterThan(40);
  });
});

describe('the example in the README of ps', () => {
  it('runs unchanged', async () => {
    const folder = fileURLToPath(new URL('../../ps/', import.meta.url));
    const [, code] = /```ts\n(.*?)```/s.exec(readFileSync(`${folder}README.md`, 'utf8'))!;
    const args = ['--input-type=module', '--eval', code!];
    expect(await lastLineOf(execPath, args, folder)).toBe('Float32Array(4) [ 1, 2, 3, 4 ]');
  });
});

async function lastLineOf(file: string, args: readonly string[], cwd: string): Promise<string | undefined> {
  return (await outputOf(file, args, cwd)).trimEnd().split('\n').at(-1);
}

/** Runs a program, which must succeed, and returns its output. */
async function outputOf(file: string, args: readonly string[], cwd: string): Promise<string> {
  const path = mooncake.missing ? env.PATH : `${dirname(mooncake.python)}:${env.PATH}`;
  const child = spawn(file, args, { cwd, env: { ...env, PATH: path }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
  return stdout;
}
