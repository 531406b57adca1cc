import { describe, expect, it } from 'vitest';
import { parseJson, runCli } from './run-cli.ts';

describe('usage', () => {
  it('prints help with examples for every command', async () => {
    const { code, stdout } = await runCli(['--help']);
    expect(code).toBe(0);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) \[/gm)]
      .map(([, name]) => name!)
      .filter((name) => name !== 'help');
    expect(commands).toEqual(['update', 'join', 'serve', 'verify', 'inspect', 'plan', 'simulate', 'doctor', 'demo']);
    for (const command of commands) {
      const help = await runCli([command, '--help']);
      expect(help.code).toBe(0);
      expect(help.stdout).toMatch(new RegExp(`Examples:.*checkpoint-engine ${command}`, 's'));
      expect(help.stderr).toBe('');
    }
  });

  it('does not show its internal commands', async () => {
    const { stdout } = await runCli(['--help']);
    expect(stdout).not.toMatch(/^ {2}(rank|demo-worker)/m);
  });

  it('prints its version', async () => {
    expect((await runCli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    [[], /The command is missing/, /checkpoint-engine --help/],
    [['join', '--endpoint', 'http://x'], /--load-metas-file/, /checkpoint-engine join --help/],
    [
      ['update', '--checkpoint-path', '/x', '--endpoint', 'http://x', '--ranks', '3'],
      /rank 3, expected ranks below 1/,
      /from 0/,
    ],
    [['inspct'], /Unknown command 'inspct'/, /Use inspect/],
    [['update', '--load-metas-file', 'x'], /Unknown option '--load-metas-file'/, /Use checkpoint-engine join/],
    [['update', '--custom-dist', 'vllm_nccl'], /Unknown option '--custom-dist'/, /ranks on GPUs use NCCL/],
    [['join', '--metas-url', 'http://x'], /Unknown option '--metas-url'/, /join --load-metas-file/],
    [
      ['update', '--checkpoint-path', '/x', '--endpoint', 'http://x', '--checkpoint-name', ''],
      /It is not a name/,
      /update --help/,
    ],
    [
      ['update', '--checkpoint-path', '/x', '--endpoint', 'http://x', '--checkpoint-name', 'a\u001b[31m'],
      /It is not a name/,
      /update --help/,
    ],
    [
      ['update', '--checkpoint-path', '/x', '--endpiont', 'http://x'],
      /Unknown option '--endpiont'/,
      /Use --endpoint, .*checkpoint-engine update --help/,
    ],
    [['inspect'], /Missing required argument 'path'/, /checkpoint-engine inspect --help/],
    [['update', '--endpoint', 'http://x'], /--checkpoint-path/, /checkpoint-engine update --help/],
    [['update', '--checkpoint-path', '/x'], /neither --endpoint nor --uds/, /Add --endpoint/],
    [['update', '--checkpoint-path', '/x', '--endpoint', 'x:1'], /not the URL of a server/, /--help/],
    [
      ['update', '--checkpoint-path', '/x', '--endpoint', 'http://x', '--device', 'tpu'],
      /Allowed choices are auto, cuda, host/,
      /--help/,
    ],
    [['plan', '--checkpoint-path', '/x', '--world-size', '0'], /not a count/, /--help/],
    [['plan', '--checkpoint-path', '/x', '--world-size', '2', '--bucket-size', '2G'], /not a size/, /--help/],
  ] as const)('%j ends with 2 and a hint', async (args, what, hint) => {
    const { code, stdout, stderr } = await runCli(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: /);
    expect(stderr).toMatch(what);
    expect(stderr).toMatch(/What to do: /);
    expect(stderr).toMatch(hint);
    expect(stderr).not.toMatch(/ {4}at /);
  });

  it('prints wrong arguments as JSON', async () => {
    const result = await runCli(['plan', '--json', '--wrong']);
    expect(result.code).toBe(2);
    expect(parseJson(result)).toMatchObject({ ok: false, command: 'plan', error: { code: 'CE_CONFIG_INVALID' } });
  });

  it('refuses a wrong environment', async () => {
    const args = ['update', '--checkpoint-path', '/x', '--endpoint', 'http://x'];
    const fraction = await runCli(args, { env: { PS_MEM_FRACTION: '2' } });
    expect(fraction).toMatchObject({ code: 2, stderr: expect.stringMatching(/PS_MEM_FRACTION is 2/) });
    const rank = await runCli([...args, '--nproc-per-node', '2'], {
      env: { RANK: '0', WORLD_SIZE: '2', MASTER_PORT: '1' },
    });
    expect(rank).toMatchObject({ code: 2, stderr: expect.stringMatching(/--nproc-per-node 2 starts ranks/) });
  });
});
