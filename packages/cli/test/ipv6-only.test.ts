// A host without IPv4: all addresses that the command chooses itself are ::1.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { startCli } from './run-cli.ts';

const HOST = 'ip link set lo up && ip address del 127.0.0.1/8 dev lo && ip -6 address show dev lo | grep -q ::1';
const onHost = (script: string): readonly string[] => ['unshare', '--net', 'sh', '-c', `${HOST} && ${script}`];
const [program, ...args] = onHost('true');
const probe = spawnSync(program!, args, { encoding: 'utf8' });
const reason = probe.status === 0 ? undefined : `network namespaces need root, ip and IPv6: ${probe.stderr}`;
if (reason) console.warn(`A host with IPv6 only is not tested: ${reason}`);

const { folder, remove } = await temporaryFolder();
const workers: TestWorker[] = [];
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.close();
});
afterAll(remove);

async function sockets(): Promise<string[]> {
  const paths = [0, 1].map((index) => join(folder, `${workers.length + index}.sock`));
  for (const [index, path] of paths.entries()) workers.push(await startTestWorker(index, path));
  return paths;
}

describe.skipIf(reason)('on a host with IPv6 only', () => {
  it('ranks that the command starts meet', async () => {
    const runtime = [...onHost('exec "$0" "$@"'), execPath];
    const { code, stdout, stderr } = await startCli(['demo', '--ranks', '2', '--size', '16MiB', '--device', 'host'], {
      runtime,
    }).result;
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(stdout).toContain('Every byte is right');
  });

  it('serve listens, and its ranks meet', async () => {
    const engines = (await sockets()).flatMap((path) => ['--engine-uds', path]);
    const world = ['--device', 'host', '--nproc-per-node', '2', '--engine', 'worker', ...engines];
    const runtime = [...onHost('exec "$0" "$@"'), execPath];
    const running = startCli(['serve', ...world, '--log-format', 'json'], { runtime });
    const printed = await running.untilPrinted(/"msg":"Serving"/);
    running.child.kill('SIGTERM');
    await running.result;
    expect(printed).toContain('"address":"http://[::1]:19730"');
  });
});
