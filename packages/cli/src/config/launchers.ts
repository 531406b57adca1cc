import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { Environment } from './environment.ts';
import { firstHost, isOneHost } from './host-list.ts';

/** A process among those of a launcher, in the variables that torchrun sets. */
export interface LaunchedProcess {
  /** As people call it. */
  readonly launcher: string;
  /** With `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`. */
  readonly env: Environment;
}

/** Names of a launcher's variables. The first that is set counts. */
interface Launcher {
  readonly name: string;
  readonly rank: readonly string[];
  readonly size: readonly string[];
  readonly localRank: readonly string[];
  /** Processes on this host. */
  readonly localSize: readonly string[];
  /** What tells one job of a user from another, equal at all its processes. */
  readonly job: readonly string[];
}

/** MPI's come first: within a Slurm job, mpirun leaves the variables of the job's shell as they are. */
const LAUNCHERS: readonly Launcher[] = [
  {
    name: 'Open MPI (mpirun)',
    rank: ['OMPI_COMM_WORLD_RANK'],
    size: ['OMPI_COMM_WORLD_SIZE'],
    localRank: ['OMPI_COMM_WORLD_LOCAL_RANK'],
    localSize: ['OMPI_COMM_WORLD_LOCAL_SIZE'],
    job: ['PMIX_NAMESPACE', 'OMPI_MCA_ess_base_jobid', 'SLURM_JOB_ID'],
  },
  {
    name: 'MPI (PMI)',
    rank: ['PMI_RANK', 'MV2_COMM_WORLD_RANK'],
    size: ['PMI_SIZE', 'MV2_COMM_WORLD_SIZE'],
    localRank: ['MPI_LOCALRANKID', 'MV2_COMM_WORLD_LOCAL_RANK', 'SLURM_LOCALID'],
    localSize: ['MPI_LOCALNRANKS', 'MV2_COMM_WORLD_LOCAL_SIZE'],
    job: ['SLURM_JOB_ID'],
  },
  {
    name: 'Slurm (srun)',
    rank: ['SLURM_PROCID'],
    size: ['SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS', 'SLURM_NPROCS'],
    localRank: ['SLURM_LOCALID'],
    localSize: [],
    job: ['SLURM_JOB_ID', 'SLURM_JOBID'],
  },
];

/** Ports that jobs share out by their number: below those that the system gives to clients. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 10_000;

/**
 * Reads which process of a job this is from the variables of launchers that set no `RANK`: `srun`, Open MPI's `mpirun`,
 * and those that speak PMI. `MASTER_ADDR` is the first host of the job where it is not set, `MASTER_PORT` follows from
 * the job's number.
 *
 * @returns `undefined` where `RANK` or `WORLD_SIZE` is set, and where no launcher started more than one process.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`: the launcher does not say enough.
 */
export function readLauncher(env: Environment): LaunchedProcess | undefined {
  if (env.RANK || env.WORLD_SIZE) return undefined;
  const launcher = LAUNCHERS.find(({ rank, size }) => first(env, rank) !== undefined && first(env, size) !== undefined);
  if (!launcher) {
    const rank = env.PMIX_RANK;
    if (!rank || rank === '0') return undefined;
    throw invalid(`PMIX_RANK is ${rank}, and no variable says how many ranks there are`, 'Set RANK and WORLD_SIZE');
  }
  const worldSize = first(env, launcher.size)!;
  if (worldSize === '1') return undefined;
  const rank = first(env, launcher.rank)!;
  return {
    launcher: launcher.name,
    env: {
      ...env,
      RANK: rank,
      WORLD_SIZE: worldSize,
      LOCAL_RANK: env.LOCAL_RANK || (seesOneGpu(env) ? undefined : first(env, launcher.localRank)),
      MASTER_ADDR: env.MASTER_ADDR || masterOf(env, launcher, rank, worldSize),
      MASTER_PORT: env.MASTER_PORT || `${portOf(env, launcher)}`,
    },
  };
}

/** Where rank 0 runs: on this host, if all ranks do, or on the first host of the job. */
function masterOf(env: Environment, launcher: Launcher, rank: string, worldSize: string): string {
  const hosts = first(env, ['SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST', 'SLURM_NODELIST']);
  const hostCount = first(env, ['SLURM_STEP_NUM_NODES', 'SLURM_JOB_NUM_NODES', 'SLURM_NNODES']);
  const isHere = first(env, launcher.localSize) === worldSize || hostCount === '1';
  if (isHere || (hosts !== undefined && isOneHost(hosts))) return '127.0.0.1';
  if (hosts !== undefined) return firstHost(hosts);
  // Of a job on several hosts, the ranks of all but the first have other numbers on their hosts.
  if (hostCount === undefined && first(env, launcher.localRank) === rank && launcher.localSize.length === 0) {
    return '127.0.0.1';
  }
  throw invalid(
    `${launcher.name} says that this is rank ${rank} of ${worldSize}, and not where rank 0 runs`,
    'Set MASTER_ADDR to the host of rank 0 at every rank',
  );
}

/** Launchers that bind GPUs let each process see its own alone, as number 0. */
function seesOneGpu({ CUDA_VISIBLE_DEVICES: visible }: Environment): boolean {
  return Boolean(visible) && !visible!.includes(',');
}

function portOf(env: Environment, { job }: Launcher): number {
  const identity = `${first(env, job) ?? ''}.${env.SLURM_STEP_ID ?? env.SLURM_STEPID ?? ''}`;
  let hash = 0;
  for (const letter of identity) hash = (hash * 31 + letter.codePointAt(0)!) % PORT_COUNT;
  return FIRST_PORT + hash;
}

function first(env: Environment, names: readonly string[]): string | undefined {
  return names.map((name) => env[name]).find(Boolean);
}

function invalid(what: string, hint: string): CheckpointEngineError {
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, hint);
}
