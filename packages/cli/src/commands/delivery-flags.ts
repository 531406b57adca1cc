import { type Command, Option } from 'commander';
import { countFlag, ranksFlag, repeated, sizeFlag, timeoutFlag, urlFlag } from '../config/flag-values.ts';
import { ENGINES, METHODS, P2P_WAYS, PAUSE_MODES } from '../config/jobs.ts';
import { jsonOption, logFormatOption, logLevelOption } from './shared-flags.ts';

/** The part of the help on the environment that `update` and `join` have in common. */
export const ENVIRONMENT_HELP = `
Environment:
  RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT   as torchrun sets them; where RANK is not set, the variables
                              of srun (SLURM_*), Open MPI (OMPI_COMM_WORLD_*) and PMI say the same
  PS_MAX_BUCKET_SIZE_GB       most GiB of a bucket
  PS_MEM_FRACTION             share of the free device memory that the update may take
  PS_P2P_STORE_RDMA_DEVICES, NCCL_IB_HCA   RDMA devices that ranks read through
  CHECKPOINT_ENGINE_TOKEN     secret that the ranks share; for reads between worlds the same in all of them
  CHECKPOINT_ENGINE_API_KEY   sent to the engine as Authorization: Bearer

Sizes are written like 512MiB, 2GiB or 8e9. Exit status: 0 done (with a warning where an output
file could not be written), 1 failed, 2 wrong arguments, 130 or 143 interrupted by SIGINT or SIGTERM.`;

/** Keeps cached prefixes. */
export const FLUSH_CACHE_FLAG = [
  '--no-flush-cache',
  'keep cached prefixes, which belong to the old weights (vLLM, SGLang)',
] as const;

/** Pauses the engine. */
export function pauseOption(): Option {
  return new Option(
    '--pause <mode>',
    'pause vLLM around the update; abort: end requests that run, wait: let them end, keep: freeze them',
  )
    .choices(PAUSE_MODES)
    .default('off');
}

/** Ranks, what they run on, and which of them receive. */
export function addRankOptions(command: Command): Command {
  return command
    .option('--nproc-per-node <n>', 'start and supervise this many ranks, one for each GPU (default: 1)', countFlag)
    .addOption(new Option('--device <kind>', 'what the ranks run on').choices(['auto', 'cuda', 'host']).default('auto'))
    .option('--ranks <list>', 'ranks whose engines receive, such as 0-7 (default: all)', ranksFlag);
}

/** How ranks read from each other. */
export function addP2POptions(command: Command): Command {
  return command
    .addOption(
      new Option('--p2p <way>', 'what P2P reads go over; auto: RDMA devices that are there, or else TCP').choices(
        P2P_WAYS,
      ),
    )
    .option('--p2p-host <host>', 'address, or interface, of this host by which P2P peers reach it', '127.0.0.1');
}

/** The engines that receive. */
export function addEngineOptions(command: Command): Command {
  return command
    .addOption(new Option('--engine <name>', 'what receives').choices(ENGINES).default('vllm'))
    .option(
      '--endpoint <url>',
      'where the engine listens; once for all inference groups, or once for each',
      repeated(urlFlag),
    )
    .option('--uds <path>', 'its Unix socket; once for all inference groups, or once for each', repeated(String))
    .option(
      '--inference-parallel-size <m>',
      'ranks that one engine spans (default: all that receive, shared by the endpoints)',
      countFlag,
    )
    .addOption(pauseOption())
    .option(...FLUSH_CACHE_FLAG)
    .option('--weight-version <version>', 'version that the engine is told, where it takes one');
}

/** How the bytes come to workers that can say what they keep. */
export function methodOption(): Option {
  return new Option(
    '--method <method>',
    'auto: workers that say what they keep copy exactly that out of host memory, others get everything in buckets; pull: fail where one cannot',
  )
    .choices(METHODS)
    .default('auto');
}

/** How buckets are moved. */
export function addTransferOptions(command: Command): Command {
  return command
    .addOption(methodOption())
    .option('--bucket-size <size>', 'most bytes of a bucket; it grows to the largest tensor', sizeFlag)
    .option('--device-memory <size>', 'most bytes of device memory that a rank may take', sizeFlag)
    .option('--release-communicators', 'give the memory of the NCCL communicators back after the update')
    .addOption(
      new Option('--timeout <seconds>', 'for reading the checkpoint and for the update, each')
        .argParser(timeoutFlag)
        .default(300_000, '300'),
    );
}

/** What is told, and how. */
export function addOutputOptions(command: Command): Command {
  return command
    .option('--report <file>', 'write a page that shows where the time went (needs @checkpoint-engine/report)')
    .option('--trace <file>', 'write a trace of all buckets for https://ui.perfetto.dev')
    .addOption(jsonOption())
    .addOption(logLevelOption('info'))
    .addOption(logFormatOption());
}
