import { spawnSync } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { encodeWorldMetas } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { tensorDigests } from './checkpoints.ts';
import { cliFixture } from './cli-fixture.ts';
import { sharedMemoryOf } from './processes.ts';
import { parseJson, type RunningCli, runCli, startCli } from './run-cli.ts';

const { folder, checkpoint, cleanup, startWorkers: workers } = await cliFixture();
const wanted = await tensorDigests(checkpoint);

const shared = ['--engine', 'worker', '--device', 'host', '--p2p', 'shm', '--log-level', 'warn', '--json'];
const update = (...args: string[]): string[] => ['update', '--checkpoint-path', checkpoint, ...shared, ...args];
const joining = (metasFile: string, ...args: string[]): string[] => [
  'join',
  '--load-metas-file',
  metasFile,
  ...shared,
  ...args,
];

/** Ranks that have updated their engines and stay. */
async function serving(metasFile: string): Promise<RunningCli> {
  const { uds } = await workers(2);
  const flags = ['--nproc-per-node', '2', '--save-metas-file', metasFile, '--sleep-time', '600'];
  const owners = startCli(update(...uds, ...flags));
  cleanup.push(() => void owners.child.kill('SIGKILL'));
  await owners.untilPrinted(/"ok":true/);
  return owners;
}

describe('join', () => {
  it('copies every byte from ranks that serve, several times at once, until they are asked to end', async () => {
    const metasFile = join(folder, 'step-1.metas');
    const owners = await serving(metasFile);
    expect((await stat(metasFile)).mode & 0o777).toBe(0o600);
    const joiners = await Promise.all([1, 2].map((count) => workers(count)));
    const results = await Promise.all(
      joiners.map(({ uds }, index) => runCli(joining(metasFile, ...uds, '--nproc-per-node', `${index + 1}`))),
    );
    for (const [index, result] of results.entries()) {
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(parseJson(result)).toMatchObject({
        ok: true,
        command: 'join',
        checkpoint: 'step-1',
        worldSize: index + 1,
      });
    }
    for (const worker of joiners.flatMap(({ all }) => all)) expect(await worker.digests()).toEqual(wanted);
    const [{ uds, all }] = joiners as [(typeof joiners)[0]];

    owners.child.kill('SIGTERM');
    expect(await owners.result).toMatchObject({ code: 0 });
    expect(sharedMemoryOf([owners.child.pid!])).toEqual([]);
    const late = await runCli(joining(metasFile, ...uds));
    expect(late.code).toBe(1);
    expect(parseJson(late)).toMatchObject({ error: { code: 'CE_PEER_UNREACHABLE', peer: expect.any(Number) } });
    expect(late.stderr).not.toMatch(/shm:/);
    expect(await all[0]!.digests()).toEqual(wanted);
  });

  it.each([
    ['given', ['--weight-version', 'step-1'], /^step-1$/],
    ['derived', [], /^digest:[0-9a-f]{32}$/],
    ['a number', ['--verify', 'off'], /^update-\d+$/],
  ])('has the version of the owners (%s), which the workers and the output report', async (_, flags, pattern) => {
    const metasFile = join(folder, `version-${flags.length}-${flags[0] ?? ''}.metas`);
    const held = await workers(1);
    const args = update(...held.uds, '--save-metas-file', metasFile, '--sleep-time', '600', ...flags);
    const owners = startCli(args);
    cleanup.push(() => void owners.child.kill('SIGKILL'));
    const printed = JSON.parse(await owners.untilPrinted(/"ok":true.*\n/)) as { weightVersion: string };
    expect(printed.weightVersion).toMatch(pattern);
    const { uds } = await workers(1);
    const first = parseJson(await runCli(joining(metasFile, ...uds)));
    expect(first).toMatchObject({
      weightVersion: printed.weightVersion,
      instances: [{ weightVersionBefore: 'unknown', weightVersion: printed.weightVersion }],
    });
    // The worker reports its version, and --weight-version of the joining world overrides that of the owners.
    const second = parseJson(await runCli(joining(metasFile, ...uds, '--weight-version', 'other')));
    expect(second).toMatchObject({
      weightVersion: 'other',
      instances: [{ weightVersionBefore: printed.weightVersion, weightVersion: 'other' }],
    });
  });

  it('reports what is wrong with a metas file', async () => {
    const metasFile = join(folder, 'good.metas');
    await serving(metasFile);
    const { uds } = await workers(1);
    const good = await readFile(metasFile);
    const made = async (name: string, bytes: Uint8Array): Promise<string> => {
      await writeFile(join(folder, name), bytes);
      return join(folder, name);
    };
    const otherVersion = new Uint8Array(good);
    otherVersion[4] = 99;
    for (const [args, code, message] of [
      [[join(folder, 'absent')], 'CE_FILE_NOT_FOUND', /The metas file .* does not exist/],
      [[await made('cut', good.subarray(0, -7))], 'CE_METAS_INVALID', /"\S+cut": .*truncated or changed/],
      // Before the devices are looked at: most machines have no GPU.
      [[join(folder, 'cut'), '--device', 'cuda'], 'CE_METAS_INVALID', /"\S+cut": .*truncated or changed/],
      [[await made('version', otherVersion)], 'CE_METAS_INVALID', /version is 99, expected version 1/],
      [
        [metasFile, '--checkpoint-name', 'step-2'],
        'CE_METAS_INVALID',
        /belong to checkpoint "step-1", expected "step-2"/,
      ],
    ] as const) {
      const [file, ...more] = args;
      const result = await runCli(joining(file, ...uds, ...more));
      expect(result.code).toBe(1);
      expect(parseJson(result)).toMatchObject({ error: { code, message: expect.stringMatching(message) } });
    }
  });
});

/** The metas of an owner on another host. */
const elsewhere = {
  ...{ checkpoint: 'step-1', rank: 0, host: 'other', deviceUuid: 'HOST-0', p2pAddress: '127.0.0.1:1', nics: [] },
  regions: [{ sizeBytes: 256, remote: { address: '4096', sizeBytes: 256, key: 'mooncake' } }],
  tensors: [{ name: 't', dtype: 'U8', shape: [256], sizeBytes: 256, region: 0, offsetBytes: 0 } as const],
};
/**
 * A host with these RDMA devices: a mount namespace of the command's own. Needs root. Returns the remaining files in
 * /dev/shm.
 */
const onHostWith = (devices: readonly string[]): readonly string[] => {
  const ports = devices.map((name) => `/sys/class/infiniband/${name}/ports/1`).join(' ');
  const set = `mount -t tmpfs tmpfs /sys/class && mkdir -p /sys/class/infiniband ${ports} && mount -t tmpfs tmpfs /dev/shm`;
  const script = `${set} || exit 99; "$@"; code=$?; ls -A /dev/shm | sed 's/^/left: /' >&2; exit $code`;
  return ['unshare', '--mount', 'sh', '-c', script, 'sh', execPath];
};
const probe = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/sys/class'], { encoding: 'utf8' });
const noNamespaces = probe.status === 0 ? undefined : `mount namespaces need root: ${probe.stderr ?? probe.error}`;
if (noNamespaces) console.warn(`Choices of RDMA devices are not tested with processes: ${noNamespaces}`);

describe.skipIf(noNamespaces)('RDMA devices that do not fit', () => {
  it.each([
    ['none there', [], {}, ['--p2p', 'rdma'], 'CE_DEVICE_UNAVAILABLE', /No device supports rdma: this host has none/],
    [
      'a missing name, with any transport',
      [],
      { PS_P2P_STORE_RDMA_DEVICES: 'mlx5_9' },
      ['--p2p', 'auto'],
      'CE_CONFIG_INVALID',
      /PS_P2P_STORE_RDMA_DEVICES has mlx5_9, but this host has no RDMA device/,
    ],
    [
      'one missing name of two',
      ['mlx5_0'],
      { PS_P2P_STORE_RDMA_DEVICES: 'mlx5_0,mlx5_9' },
      ['--p2p', 'rdma'],
      'CE_CONFIG_INVALID',
      /has mlx5_9, but this host has mlx5_0/,
    ],
    [
      'none that NCCL_IB_HCA selects',
      ['mlx5_0'],
      { NCCL_IB_HCA: '=mlx5_9' },
      ['--p2p', 'rdma'],
      'CE_CONFIG_INVALID',
      /This host has no RDMA device to choose/,
    ],
    [
      'three for two ranks',
      ['mlx5_0', 'mlx5_1', 'mlx5_2'],
      {},
      ['--p2p', 'rdma', '--nproc-per-node', '2'],
      'CE_CONFIG_INVALID',
      /3 RDMA devices \(mlx5_0, mlx5_1, mlx5_2\) cannot be divided evenly among 2 GPUs/,
    ],
  ] as const)('are reported before any data moves: %s', async (_, devices, env, flags, code, message) => {
    const ranks = flags.some((flag) => flag === '--nproc-per-node') ? 2 : 1;
    const { uds, all } = await workers(ranks);
    const metasFile = join(folder, 'elsewhere.metas');
    await writeFile(metasFile, encodeWorldMetas([elsewhere]));
    for (const command of [joining(metasFile, ...uds, ...flags), update(...uds, '--update-method', 'p2p', ...flags)]) {
      const result = await runCli(command, { env, runtime: onHostWith(devices) });
      expect(result.code).toBe(code === 'CE_CONFIG_INVALID' ? 2 : 1);
      expect(parseJson(result)).toMatchObject({ error: { code, message: expect.stringMatching(message) } });
      expect(result.stderr).not.toContain('left: ');
    }
    for (const worker of all) expect((await worker.digests()).size).toBe(0);
  });
});

describe('update --update-method', () => {
  it('all broadcasts, and then lets the selected ranks read from the others', async () => {
    const { uds, all } = await workers(3);
    const flags = ['--update-method', 'all', '--ranks', '1', '--inference-parallel-size', '1'];
    const result = await runCli(update(...uds, '--nproc-per-node', '3', ...flags));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(parseJson(result)).toMatchObject({ command: 'update', before: [{ checkpoint: 'step-1' }] });
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
  });

  it('broadcast with --ranks does not change the other engines', async () => {
    const { uds, all } = await workers(2);
    const args = update(...uds, '--nproc-per-node', '2', '--ranks', '1', '--inference-parallel-size', '1');
    expect(await runCli(args)).toMatchObject({ code: 0, stderr: '' });
    expect(await all[1]!.digests()).toEqual(wanted);
    expect((await all[0]!.digests()).size).toBe(0);
  });
});
