import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseJson, runCli, startCli } from './run-cli.ts';
import { RUNTIMES } from './runtimes.ts';

/** A temporary folder of each test's own: other demos may run on this machine. */
let temporary: string;
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'ce-demo-test-'));
});
afterEach(() => rmSync(temporary, { recursive: true }));

describe('demo', () => {
  it.each(RUNTIMES)('delivers every byte under %s, and leaves nothing behind', async (_, runtime) => {
    const args = ['demo', '--device', 'host', '--ranks', '2', '--size', '8MiB', '--json', '--log-level', 'warn'];
    const result = await runCli(args, { runtime, env: { TMPDIR: temporary } });
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
    const outcome = parseJson<{
      ok: boolean;
      tensorCount: number;
      updates: { inPlaceCount?: number; comparisons: { equalCount: number }[] }[];
    }>(result);
    expect(outcome).toMatchObject({ ok: true, device: 'host', rankCount: 2 });
    expect(outcome.tensorCount).toBeGreaterThan(300);
    expect(outcome.updates).toHaveLength(2);
    for (const { comparisons } of outcome.updates) {
      expect(comparisons.map(({ equalCount }) => equalCount)).toEqual([outcome.tensorCount, outcome.tensorCount]);
    }
    expect(outcome.updates[1]!.inPlaceCount).toBe(2 * outcome.tensorCount);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('reports its steps to users', async () => {
    const { code, stdout } = await runCli(['demo', '--device', 'host', '--ranks', '1', '--size', '2MiB']);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /✓ Created 2 checkpoints.*✓ Started 1 worker and 1 rank.*✓ First update.*✓ Second update.*each at its previous address.*Every byte is right/s,
    );
  });

  it('removes everything when it is interrupted', async () => {
    const running = startCli(['demo', '--device', 'host', '--ranks', '2', '--size', '64MiB'], {
      env: { TMPDIR: temporary },
    });
    await running.untilPrinted(/Started 2 workers/);
    expect(readdirSync(temporary)).not.toEqual([]);
    running.child.kill('SIGINT');
    const result = await running.result;
    expect(result.code).toBe(130);
    expect(result.stderr).toMatch(/^error: Interrupted by SIGINT/m);
    expect(readdirSync(temporary)).toEqual([]);
  });
});
