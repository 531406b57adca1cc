// The output of `update` on terminals of several widths, and without a terminal.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { runCli } from './run-cli.ts';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true;
if (!hasScript) console.warn('skipped: updates on a terminal: script of util-linux is missing');
const { folder, remove } = await temporaryFolder();
const checkpoint = await smallCheckpoint(join(folder, 'step-100000-of-a-run'), 'a', 24 * 2 ** 20);
const sockets = [0, 1].map((rank) => join(folder, `${rank}.sock`));
let workers: TestWorker[] = [];
beforeAll(async () => {
  workers = await Promise.all(sockets.map((socket, rank) => startTestWorker(rank, socket)));
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.close()));
  await remove();
});

const args = [
  ...['update', '--checkpoint-path', checkpoint, '--device', 'host', '--engine', 'worker', '--nproc-per-node', '2'],
  ...[...sockets.flatMap((socket) => ['--uds', socket]), '--method', 'buckets', '--bucket-size', '1MiB'],
];

/** Runs the command on a terminal, and returns all that it wrote there. */
async function onTerminal(columns: number, variables: Record<string, string> = {}): Promise<string> {
  const command = `stty cols ${columns} rows 24; exec "$@"`;
  const quoted = [execPath, MAIN, ...args].map((text) => `'${text}'`).join(' ');
  const child = spawn('script', ['--quiet', '--return', '--command', `sh -c '${command}' sh ${quoted}`, '/dev/null'], {
    env: { ...env, TERM: 'xterm-256color', ...variables },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const [code] = await once(child, 'exit');
  expect([code, text]).toEqual([0, expect.anything()]);
  return text;
}

/** Lines as they were written: the cursor goes to the left before each of them. */
const linesOf = (text: string): string[] => stripVTControlCharacters(text).split(/[\r\n]+/);

describe.skipIf(!hasScript)(
  `update on a terminal${hasScript ? '' : ' (skipped: script of util-linux is missing)'}`,
  () => {
    it.each([50, 80, 120])('has lines that fit into %d columns', async (columns) => {
      const text = await onTerminal(columns);
      for (const line of linesOf(text)) expect([...line].length, line).toBeLessThanOrEqual(columns);
      const bars = linesOf(text).flatMap((line) => /^ {2}(read|copy|broadcast|load) .*[━─]/.exec(line)?.[1] ?? []);
      expect(bars.slice(0, 4)).toEqual(['read', 'copy', 'broadcast', 'load']);
      expect(text).toContain('\u001b[36m');
      // The cursor is visible again and the bars are gone: only the summary follows.
      expect(text.lastIndexOf('\u001b[?25h')).toBeGreaterThan(text.lastIndexOf('\u001b[?25l'));
      expect(text.slice(text.lastIndexOf('\u001b[?25h'))).not.toMatch(/[━─]/);
      expect(linesOf(text.slice(text.lastIndexOf('\u001b[?25h')))).toContain(
        '✓ step-100000-of-a-run is live on 2 host ranks'.slice(0, 200),
      );
      expect(stripVTControlCharacters(text)).not.toMatch(/\d [kMG]B(\/s)?\b/);
    });

    it('has no colors with NO_COLOR', async () => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colors are control characters
      expect(await onTerminal(80, { NO_COLOR: '1' })).not.toMatch(/\u001b\[[\d;]*m/);
    });
  },
);

describe('update without a terminal', () => {
  it('writes log lines and a summary without control characters', async () => {
    const { code, stdout, stderr } = await runCli(args);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^✓ .* is live on 2 host ranks\n {2}weights /)]);
    expect(stdout + stderr).not.toContain('\u001b');
    expect(stderr).toContain('streaming into the engines');
    expect(stdout + stderr).not.toMatch(/[━─]/);
  });
});
