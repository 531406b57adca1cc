import { describe, expect, it } from 'vitest';
import { readRankIdentity } from './environment.ts';
import { firstHost, isOneHost } from './host-list.ts';
import { readLauncher } from './launchers.ts';

const invalid = (pattern: RegExp) =>
  expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringMatching(pattern) });
const read = (env: Record<string, string>) => {
  const launched = readLauncher(env);
  return launched && { launcher: launched.launcher, ...readRankIdentity(launched.env) };
};

describe('readLauncher', () => {
  it('reads a task of srun on two hosts', () => {
    const env = { SLURM_PROCID: '3', SLURM_NTASKS: '4', SLURM_LOCALID: '1', SLURM_JOB_NODELIST: 'gpu[07-08]' };
    expect(read({ ...env, SLURM_JOB_ID: '4711', SLURM_STEP_ID: '0' })).toMatchObject({
      launcher: 'Slurm (srun)',
      rank: 3,
      worldSize: 4,
      localRank: 1,
      masterAddr: 'gpu07',
    });
    const port = (jobId: string) => read({ ...env, SLURM_JOB_ID: jobId })?.masterPort;
    expect(port('4711')).toBe(port('4711'));
    expect(port('4711')).not.toBe(port('4712'));
  });

  it.each([
    [{ SLURM_PROCID: '1', SLURM_NTASKS: '2', SLURM_LOCALID: '1' }],
    [{ SLURM_PROCID: '1', SLURM_NTASKS: '2', SLURM_LOCALID: '0', SLURM_JOB_NODELIST: 'gpu07' }],
    [{ SLURM_PROCID: '1', SLURM_NTASKS: '9', SLURM_STEP_NUM_TASKS: '2', SLURM_NNODES: '1', SLURM_NODELIST: 'a' }],
    [{ OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_LOCAL_SIZE: '2' }],
    [{ PMI_RANK: '1', PMI_SIZE: '2', MPI_LOCALNRANKS: '2', MPI_LOCALRANKID: '1' }],
  ])('recognizes that all ranks run on this host: %j', (env) => {
    expect(read(env)).toMatchObject({ rank: 1, worldSize: 2, masterAddr: '127.0.0.1' });
  });

  it('prefers mpirun within a Slurm job, whose shell is task 0', () => {
    const slurm = { SLURM_PROCID: '0', SLURM_NTASKS: '8', SLURM_JOB_NODELIST: 'a1,a2' };
    const mpi = { OMPI_COMM_WORLD_RANK: '5', OMPI_COMM_WORLD_SIZE: '8', OMPI_COMM_WORLD_LOCAL_RANK: '1' };
    expect(read({ ...slurm, ...mpi })).toMatchObject({ launcher: 'Open MPI (mpirun)', rank: 5, masterAddr: 'a1' });
  });

  it('keeps variables that are set', () => {
    const env = { SLURM_PROCID: '1', SLURM_NTASKS: '2', SLURM_JOB_NODELIST: 'a1,a2' };
    expect(read({ ...env, MASTER_ADDR: '10.0.0.9', MASTER_PORT: '29999', LOCAL_RANK: '7' })).toMatchObject({
      masterAddr: '10.0.0.9',
      masterPort: 29_999,
      localRank: 7,
    });
    expect(readLauncher({ ...env, RANK: '0', WORLD_SIZE: '2' })).toBeUndefined();
  });

  it.each([
    [{}],
    [{ SLURM_JOB_ID: '1' }],
    [{ SLURM_NTASKS: '4' }],
    [{ SLURM_PROCID: '0', SLURM_NTASKS: '1' }],
    [{ SLURM_PROCID: '0' }],
    [{ PMIX_RANK: '0' }],
  ])('finds no launcher of several ranks in %j', (env) => {
    expect(readLauncher(env)).toBeUndefined();
  });

  it.each([
    [
      { OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '8', OMPI_COMM_WORLD_LOCAL_SIZE: '4' },
      /without the host of rank 0/,
    ],
    [{ SLURM_PROCID: '5', SLURM_NTASKS: '8', SLURM_LOCALID: '1' }, /without the host of rank 0/],
    [{ PMIX_RANK: '3' }, /PMIX_RANK is 3, and no known variable gives the number of ranks/],
    [{ SLURM_PROCID: '1' }, /SLURM_PROCID is 1, and no known variable gives the number of ranks/],
    [{ OMPI_COMM_WORLD_RANK: '3' }, /OMPI_COMM_WORLD_RANK is 3/],
    [{ FLUX_TASK_RANK: '1', FLUX_JOB_SIZE: '2' }, /FLUX_TASK_RANK is 1/],
    [{ OMPI_COMM_WORLD_SIZE: '8', OMPI_COMM_WORLD_RANK: '' }, /OMPI_COMM_WORLD_SIZE is 8, .* the rank/],
    [{ PMI_SIZE: '2' }, /PMI_SIZE is 2, and no known variable gives the rank/],
  ])('rejects %j, which lacks a value', (env, message) => {
    expect(() => readLauncher(env)).toThrow(invalid(message));
  });

  it.each([
    [{ SLURM_PROCID: '0', SLURM_NTASKS: 'x' }, /^SLURM_NTASKS is "x", expected an integer from 1 to 65536$/],
    [{ SLURM_PROCID: '0', SLURM_NTASKS: '2.0' }, /^SLURM_NTASKS is "2.0"/],
    [{ SLURM_PROCID: '0', SLURM_NTASKS: '99999999999' }, /^SLURM_NTASKS is "99999999999"/],
    [{ SLURM_PROCID: '0', SLURM_NTASKS: '0' }, /^SLURM_NTASKS is "0"/],
    [{ SLURM_PROCID: '-1', SLURM_NTASKS: '2' }, /^SLURM_PROCID is "-1"/],
    [{ SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '', SLURM_NPROCS: 'two' }, /^SLURM_NPROCS is "two"/],
    [{ SLURM_PROCID: '0', SLURM_NTASKS: '2', SLURM_LOCALID: 'x', SLURM_NNODES: '1' }, /^SLURM_LOCALID is "x"/],
    [{ SLURM_PROCID: '2', SLURM_NTASKS: '2' }, /^SLURM_PROCID is 2, and SLURM_NTASKS is 2: ranks count from 0 to 1$/],
    [{ OMPI_COMM_WORLD_RANK: 'x', OMPI_COMM_WORLD_SIZE: '8' }, /^OMPI_COMM_WORLD_RANK is "x"/],
    [{ PMI_RANK: '1', PMI_SIZE: '1' }, /^PMI_RANK is 1, and PMI_SIZE is 1/],
  ])('names the variable with a wrong value: %j', (env, message) => {
    expect(() => readLauncher(env)).toThrow(invalid(message));
  });
});

describe('firstHost', () => {
  it.each([
    ['node1', 'node1'],
    ['gpu-1,gpu-2', 'gpu-1'],
    ['gpu[08-11,20],cpu1', 'gpu08'],
    ['rack[1-2]n[01-04]', 'rack1n01'],
    ['a[3]', 'a3'],
    ['host.example.org', 'host.example.org'],
  ])('of %s is %s', (hosts, first) => {
    expect(firstHost(hosts)).toBe(first);
  });

  it('is the only host or one of several', () => {
    expect(['node1', 'a[3]'].map(isOneHost)).toEqual([true, true]);
    expect(['a,b', 'a[1-2]', 'a[1,3]', 'a[1],b'].map(isOneHost)).toEqual([false, false, false, false]);
  });
});
