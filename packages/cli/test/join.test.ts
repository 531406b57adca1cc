import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';
import { sharedMemoryOf } from './processes.ts';
import { parseJson, type RunningCli, runCli, startCli } from './run-cli.ts';

const { folder, remove } = await temporaryFolder();
const checkpoint = await smallCheckpoint(join(folder, 'step-1'), 'one');
const wanted = await tensorDigests(checkpoint);
const cleanup: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});
afterAll(remove);

let sockets = 0;
async function workers(count: number): Promise<{ uds: string[]; all: TestWorker[] }> {
  const paths = Array.from({ length: count }, () => join(folder, `${sockets++}.sock`));
  const all = await Promise.all(paths.map((path, index) => startTestWorker(index, path)));
  cleanup.push(async () => {
    await Promise.all(all.map((worker) => worker.close()));
  });
  return { uds: paths.flatMap((path) => ['--uds', path]), all };
}
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
  it('brings every byte out of ranks that serve, several times at once, until these are asked to end', async () => {
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

  it('says what is wrong with a metas file', async () => {
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
      [[join(folder, 'absent')], 'CE_FILE_NOT_FOUND', /No metas file at/],
      [[await made('cut', good.subarray(0, -7))], 'CE_METAS_INVALID', /"\S+cut": .*cut off or changed/],
      // Before the devices are looked at: most machines have no GPU.
      [[join(folder, 'cut'), '--device', 'cuda'], 'CE_METAS_INVALID', /"\S+cut": .*cut off or changed/],
      [[await made('version', otherVersion)], 'CE_METAS_INVALID', /version is 99, and version 1 is read/],
      [[metasFile, '--checkpoint-name', 'step-2'], 'CE_METAS_INVALID', /of checkpoint "step-1", wanted "step-2"/],
    ] as const) {
      const [file, ...more] = args;
      const result = await runCli(joining(file, ...uds, ...more));
      expect(result.code).toBe(1);
      expect(parseJson(result)).toMatchObject({ error: { code, message: expect.stringMatching(message) } });
    }
  });
});

describe('update --update-method', () => {
  it('all broadcasts, and then lets the ranks that are named read from the others', async () => {
    const { uds, all } = await workers(3);
    const flags = ['--update-method', 'all', '--ranks', '1', '--inference-parallel-size', '1'];
    const result = await runCli(update(...uds, '--nproc-per-node', '3', ...flags));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(parseJson(result)).toMatchObject({ command: 'update', before: [{ checkpoint: 'step-1' }] });
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
  });

  it('broadcast with --ranks leaves the other engines alone', async () => {
    const { uds, all } = await workers(2);
    const args = update(...uds, '--nproc-per-node', '2', '--ranks', '1', '--inference-parallel-size', '1');
    expect(await runCli(args)).toMatchObject({ code: 0, stderr: '' });
    expect(await all[1]!.digests()).toEqual(wanted);
    expect((await all[0]!.digests()).size).toBe(0);
  });
});
