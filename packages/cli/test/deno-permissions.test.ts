// The permissions that docs/deno.md names are enough, and those of a rank reach it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { smallCheckpoint } from './checkpoints.ts';
import { parseJson, runCli } from './run-cli.ts';
import { RUNTIMES } from './runtimes.ts';

const deno = RUNTIMES.find(([name]) => name === 'Deno')![1][0];
const page = readFileSync(new URL('../../../docs/deno.md', import.meta.url), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'ce-deno-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The flags in the page's row for a command, less one of them. */
function documentedFlags(command: string, without?: string): string[] {
  const [, flags] = new RegExp(`^\\| \`${command}\`[^|]*\\| ([^|]*)\\|`, 'm').exec(page)!;
  const all = [...flags!.matchAll(/`(--allow-[^`]*)`/g)].map(([, flag]) => flag!.replace('DENO', deno));
  const left = all.filter((flag) => !without || !flag.startsWith(`--allow-${without}`));
  expect(left).toHaveLength(all.length - (without ? 1 : 0));
  return ['run', '--no-prompt', '--quiet', ...left];
}

describe('the permissions in docs/deno.md', () => {
  const demo = ['demo', '--device', 'host', '--ranks', '2', '--size', '2MiB', '--json'];

  it('are enough for the demo', async () => {
    const result = await runCli(demo, { runtime: [deno, ...documentedFlags('demo')] });
    expect(parseJson(result)).toMatchObject({ ok: true, rankCount: 2 });
  });

  it.each(['inspect', 'plan'])('are enough for %s', async (command) => {
    const checkpoint = await smallCheckpoint(join(folder, command));
    const args = {
      inspect: [checkpoint],
      plan: ['--checkpoint-path', checkpoint, '--world-size', '2', '--device-memory', '1GiB'],
    }[command]!;
    const result = await runCli([command, ...args, '--json'], { runtime: [deno, ...documentedFlags(command)] });
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });

  it.each(['read', 'write', 'env', 'net', 'run', 'sys'])(
    'are necessary: the demo does not work without %s',
    async (permission) => {
      const result = await runCli(demo, { runtime: [deno, ...documentedFlags('demo', permission)] });
      // A temporary folder that cannot be written to is found before anything starts.
      expect(result.code).toBe(permission === 'write' ? 2 : 1);
      expect(result.stderr).toContain(`run again with the --allow-${permission} flag`);
    },
  );
});
