import { MAX_WORLD_SIZE } from '@checkpoint-engine/interface';
import { configError } from './config-error.ts';
import { type Environment, integer } from './environment.ts';
import { firstHost, isOneHost } from './host-list.ts';
import { loopbackAddress } from './loopback.ts';

/** A process that a launcher started, described by the variables that torchrun sets. */
export interface LaunchedProcess {
  /** The launcher's usual name. */
  readonly launcher: string;
  /** With `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`. */
  readonly env: Environment;
}

/** Names of a launcher's variables. The first one that is set counts. */
interface Launcher {
  readonly name: string;
  readonly rank: readonly string[];
  readonly size: readonly string[];
  readonly localRank: readonly string[];
  /** Number of processes on this host. */
  readonly localSize: readonly string[];
  /** Distinguishes the jobs of a user. Equal at all processes of a job. */
  readonly job: readonly string[];
  /**
   * Whether a shell that is not a rank may have the variable for the number of ranks, as in a Slurm allocation.
   * @default false
   */
  readonly isAllocation?: boolean;
}

/** MPI comes first: within a Slurm job, mpirun leaves the variables of the job's shell unchanged. */
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
    isAllocation: true,
  },
];

/** Variables that give a process a rank, including those of launchers that this file does not read. */
const RANK_NAMES = [
  ...LAUNCHERS.flatMap(({ rank }) => rank),
  ...['PMIX_RANK', 'PALS_RANKID', 'FLUX_TASK_RANK', 'JSM_NAMESPACE_RANK'],
];

/** Ports that the job number selects from. They are below the system's range for clients. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 10_000;

/**
 * Reads the rank of this process from the variables of launchers that do not set `RANK`: `srun`, Open MPI's `mpirun`,
 * and launchers that use PMI. `MASTER_ADDR` defaults to the first host of the job, and `MASTER_PORT` is derived from
 * the job number.
 *
 * @returns `undefined` if `RANK` or `WORLD_SIZE` is set, or if no launcher started more than one process.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID`: the launcher's variables are incomplete.
 */
export function readLauncher(env: Environment): LaunchedProcess | undefined {
  if (env.RANK || env.WORLD_SIZE) return undefined;
  const launcher = LAUNCHERS.find(({ rank, size }) => nameOf(env, rank) && nameOf(env, size));
  if (!launcher) return checkNoRank(env);
  const { rank, worldSize, localRank } = readNumbers(env, launcher);
  if (worldSize === 1) return undefined;
  return {
    launcher: launcher.name,
    env: {
      ...env,
      RANK: `${rank}`,
      WORLD_SIZE: `${worldSize}`,
      LOCAL_RANK: env.LOCAL_RANK || (seesOneGpu(env) || localRank === undefined ? undefined : `${localRank}`),
      MASTER_ADDR: env.MASTER_ADDR || masterOf(env, launcher, rank, worldSize),
      MASTER_PORT: env.MASTER_PORT || `${portOf(env, launcher)}`,
    },
  };
}

interface LaunchedNumbers {
  readonly rank: number;
  readonly worldSize: number;
  readonly localRank: number | undefined;
}

function readNumbers(env: Environment, launcher: Launcher): LaunchedNumbers {
  const [rankName, sizeName] = [nameOf(env, launcher.rank)!, nameOf(env, launcher.size)!];
  const localName = nameOf(env, launcher.localRank);
  const worldSize = integer(env, sizeName, 1, MAX_WORLD_SIZE)!;
  const rank = integer(env, rankName, 0)!;
  if (rank >= worldSize) {
    throw configError(
      `${rankName} is ${rank}, and ${sizeName} is ${worldSize}: ranks count from 0 to ${worldSize - 1}`,
      `Start this process with ${launcher.name}, or set RANK and WORLD_SIZE`,
    );
  }
  return { rank, worldSize, localRank: localName === undefined ? undefined : integer(env, localName, 0) };
}

/**
 * Rejects a process that a launcher apparently started as one of several ranks, without a variable for the rank or for
 * the number of ranks. A world of one rank would update the wrong devices.
 */
function checkNoRank(env: Environment): undefined {
  const hint = 'Set RANK and WORLD_SIZE, or unset the variable if no launcher starts the ranks';
  const rankName = nameOf(env, RANK_NAMES);
  if (rankName && env[rankName] !== '0') {
    throw configError(`${rankName} is ${env[rankName]}, and no known variable gives the number of ranks`, hint);
  }
  const sizeName = nameOf(
    env,
    LAUNCHERS.filter(({ isAllocation }) => !isAllocation).flatMap(({ size }) => size),
  );
  if (sizeName && env[sizeName] !== '1') {
    throw configError(`${sizeName} is ${env[sizeName]}, and no known variable gives the rank of this process`, hint);
  }
  return undefined;
}

/** The host of rank 0: this host if all ranks run on it, otherwise the first host of the job. */
function masterOf(env: Environment, launcher: Launcher, rank: number, worldSize: number): string {
  const hosts = first(env, ['SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST', 'SLURM_NODELIST']);
  const hostCount = first(env, ['SLURM_STEP_NUM_NODES', 'SLURM_JOB_NUM_NODES', 'SLURM_NNODES']);
  const isHere = first(env, launcher.localSize) === `${worldSize}` || hostCount === '1';
  if (isHere || (hosts !== undefined && isOneHost(hosts))) return loopbackAddress();
  if (hosts !== undefined) return firstHost(hosts);
  // On all hosts except the first, global and local ranks differ.
  if (hostCount === undefined && first(env, launcher.localRank) === `${rank}` && launcher.localSize.length === 0) {
    return loopbackAddress();
  }
  throw configError(
    `${launcher.name} started this process as rank ${rank} of ${worldSize} without the host of rank 0`,
    'Set MASTER_ADDR to the host of rank 0 at every rank',
  );
}

/** A launcher that binds GPUs makes only the process's own GPU visible, as number 0. */
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
  return env[nameOf(env, names) ?? ''];
}

/** The first of these variables that is set. */
function nameOf(env: Environment, names: readonly string[]): string | undefined {
  return names.find((name) => env[name]);
}
