import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { parseJson, runCli, startCli } from './run-cli.ts';
import { RUNTIMES } from './runtimes.ts';

const folders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('checkpoint-engine-demo-'));

describe('demo', () => {
  it.each(RUNTIMES)('is right to the last byte under %s, and leaves nothing', async (_, runtime) => {
    const before = folders();
    const args = ['demo', '--device', 'host', '--ranks', '2', '--size', '8MiB', '--json', '--log-level', 'warn'];
    const result = await runCli(args, { runtime });
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
    expect(folders()).toEqual(before);
  });

  it('tells people what it does', async () => {
    const { code, stdout } = await runCli(['demo', '--device', 'host', '--ranks', '1', '--size', '2MiB']);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /✓ Made 2 checkpoints.*✓ Started 1 worker and 1 rank.*✓ First update.*✓ Second update.*each where it lay before.*Every byte is right/s,
    );
  });

  it('removes everything when it is interrupted', async () => {
    const before = folders();
    const running = startCli(['demo', '--device', 'host', '--ranks', '2', '--size', '64MiB']);
    await running.untilPrinted(/Started 2 workers/);
    running.child.kill('SIGINT');
    const result = await running.result;
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/^error: Interrupted by SIGINT/m);
    expect(folders()).toEqual(before);
  });
});
