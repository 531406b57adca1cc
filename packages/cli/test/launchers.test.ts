import { describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { tensorDigests } from './checkpoints.ts';
import { cliFixture } from './cli-fixture.ts';
import { parseJson, runCli } from './run-cli.ts';

const { checkpoint, startWorkers } = await cliFixture();
const wanted = await tensorDigests(checkpoint);

const update = (...args: string[]): string[] => [
  ...['update', '--checkpoint-path', checkpoint, '--engine', 'worker', '--device', 'host', '--json', ...args],
];

describe('launchers that set no RANK', () => {
  it.each([
    [
      'Slurm (srun)',
      (rank: number) => ({
        ...{ SLURM_PROCID: `${rank}`, SLURM_NTASKS: '4', SLURM_LOCALID: `${rank}`, SLURM_JOB_NODELIST: 'localhost' },
        ...{ SLURM_JOB_ID: '4711', SLURM_STEP_ID: '0' },
      }),
    ],
    [
      'Open MPI (mpirun)',
      (rank: number) => ({
        ...{ OMPI_COMM_WORLD_RANK: `${rank}`, OMPI_COMM_WORLD_SIZE: '4', OMPI_COMM_WORLD_LOCAL_RANK: `${rank}` },
        ...{ OMPI_COMM_WORLD_LOCAL_SIZE: '4', PMIX_RANK: `${rank}` },
      }),
    ],
  ])('start ranks of one world: %s', async (launcher, variables) => {
    const { uds, all } = await startWorkers(4);
    const MASTER_PORT = `${await freePort()}`;
    const results = await Promise.all(
      [0, 1, 2, 3].map((rank) => runCli(update(...uds), { env: { ...variables(rank), MASTER_PORT } })),
    );
    for (const [rank, { code, stderr }] of results.entries()) {
      expect(code).toBe(0);
      expect(stderr).toContain(`${launcher} started this process as a rank`);
      expect(stderr).toContain(`"rank":${rank},"worldSize":4`);
    }
    expect(parseJson(results[0]!)).toMatchObject({ ok: true, worldSize: 4 });
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
  });

  it('do not make ranks start further ranks', async () => {
    const env = { SLURM_PROCID: '1', SLURM_NTASKS: '2', SLURM_LOCALID: '1', SLURM_STEP_ID: '0' };
    const result = await runCli(update('--uds', '/tmp/x.sock', '--nproc-per-node', '2'), { env });
    expect(result.code).toBe(2);
    expect(parseJson(result)).toMatchObject({ error: { message: expect.stringContaining('as rank 1 of 2') } });
  });
});

describe('the address of rank 0', () => {
  const asRank = (rank: number, env: Record<string, string>, ...args: string[]) =>
    runCli(update('--log-level', 'error', ...args), {
      env: { RANK: `${rank}`, LOCAL_RANK: `${rank}`, WORLD_SIZE: '2', ...env },
    });

  it('may have brackets', async () => {
    const { uds, all } = await startWorkers(2);
    const env = { MASTER_ADDR: '[::1]', MASTER_PORT: `${await freePort()}` };
    const results = await Promise.all([0, 1].map((rank) => asRank(rank, env, ...uds)));
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
  });

  it('must resolve, or every rank reports it', async () => {
    const env = { MASTER_ADDR: 'rank-0.invalid', MASTER_PORT: `${await freePort()}` };
    const uds = ['--uds', '/tmp/x.sock', '--timeout', '10'];
    const results = await Promise.all([0, 1].map((rank) => asRank(rank, env, ...uds)));
    for (const result of results) {
      expect(parseJson(result)).toMatchObject({
        error: { message: expect.stringMatching(/rank-0\.invalid.* resolve/) },
      });
    }
  });

  it('does not matter for a world on one host', async () => {
    const { uds, all } = await startWorkers(2);
    const env = { MASTER_ADDR: 'elsewhere.invalid', MASTER_PORT: 'tcp://10.96.3.4:29500' };
    const result = await runCli(update(...uds, '--nproc-per-node', '2'), { env });
    expect(result.code).toBe(0);
    for (const worker of all) expect(await worker.digests()).toEqual(wanted);
    expect((await asRank(1, { MASTER_PORT: 'tcp://10.96.3.4:29500' }, ...uds)).stdout).toMatch(/enableServiceLinks/);
  });
});
