import { type Command, Option } from 'commander';
import {
  countFlag,
  localRanksFlag,
  ranksFlag,
  repeated,
  sizeFlag,
  timeoutFlag,
  urlFlag,
  weightVersionFlag,
} from '../config/flag-values.ts';
import { loopbackAddress } from '../config/loopback.ts';
import { ENGINES, METHODS, P2P_TRANSPORTS, PAUSE_MODES, VERIFY_MODES } from '../config/requests.ts';
import { barsLogLevelOption, jsonOption, logFormatOption } from './shared-flags.ts';

/** The help on environment variables that `update` and `join` share. */
export const ENVIRONMENT_HELP = `
Environment:
  RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT   as torchrun sets them; if RANK is not set, those of srun
                              (SLURM_*), Open MPI (OMPI_COMM_WORLD_*) or PMI are used
  PS_MAX_BUCKET_SIZE_GB       maximum size of a bucket, in GiB
  PS_MEM_FRACTION             maximum fraction of the free device memory that the update takes
  PS_P2P_STORE_RDMA_DEVICES, NCCL_IB_HCA   RDMA devices for reads between ranks
  CHECKPOINT_ENGINE_TOKEN     secret that the ranks share; the same in all worlds that read from each other
  CHECKPOINT_ENGINE_API_KEY   sent to the engine as Authorization: Bearer

Write sizes like 512MiB, 2GiB or 8e9. Exit status: 0 success (with a warning if an output file
cannot be written), 1 failure, 2 wrong arguments, 130 or 143 interrupted by SIGINT or SIGTERM.`;

/** `--no-flush-cache` */
export const FLUSH_CACHE_FLAG = [
  '--no-flush-cache',
  'keep the prefix cache, which belongs to the old weights (vLLM, SGLang)',
] as const;

/** `--pause` */
export function pauseOption(): Option {
  return new Option(
    '--pause <mode>',
    'pause vLLM during the update; abort: end running requests, wait: let them finish, keep: freeze them',
  )
    .choices(PAUSE_MODES)
    .default('off');
}

/** Options for the ranks, their devices, and which of them receive. */
export function addRankOptions(command: Command, ranksHelp = 'ranks whose engines receive the weights'): Command {
  return command
    .option('--nproc-per-node <n>', 'start and supervise this many ranks, one per GPU (default: 1)', localRanksFlag)
    .addOption(new Option('--device <kind>', 'device of the ranks').choices(['auto', 'cuda', 'host']).default('auto'))
    .option('--ranks <list>', `${ranksHelp}, such as 0-7 (default: all)`, ranksFlag);
}

/** Options for reads between ranks. */
export function addP2POptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--p2p <transport>',
        'transport of P2P reads; auto: RDMA devices if there are any, otherwise TCP',
      ).choices(P2P_TRANSPORTS),
    )
    .option('--p2p-host <host>', 'address or interface of this host that P2P peers can reach', loopbackAddress());
}

/** Options for the engines. */
export function addEngineOptions(command: Command): Command {
  return command
    .addOption(new Option('--engine <name>', 'kind of the engine').choices(ENGINES).default('vllm'))
    .option(
      '--endpoint <url>',
      'address of the engine; once for all inference groups, or once per group',
      repeated(urlFlag),
    )
    .option('--uds <path>', 'Unix socket of the engine; once for all groups, or once per group', repeated(String))
    .option(
      '--inference-parallel-size <m>',
      'ranks per engine (default: all that receive, divided among the endpoints)',
      countFlag,
    )
    .addOption(pauseOption())
    .option(...FLUSH_CACHE_FLAG)
    .option(
      '--weight-version <version>',
      'version of the weights, which is sent to vLLM and SGLang (default: that of the checkpoint, or one from its bytes)',
      weightVersionFlag,
    );
}

/** `--method` */
export function methodOption(): Option {
  return new Option(
    '--method <method>',
    'auto: workers that support it copy what they need from host memory, others receive buckets; pull: fail if a worker does not support it',
  )
    .choices(METHODS)
    .default('auto');
}

/** `--verify` */
export function verifyOption(): Option {
  return new Option(
    '--verify <mode>',
    'compare arriving weights, and parameters that workers copied, with the digests of the files; sample: some blocks, full: all bytes',
  )
    .choices(VERIFY_MODES)
    .default('sample');
}

/** Options for buckets and memory. */
export function addTransferOptions(command: Command): Command {
  return command
    .addOption(methodOption())
    .addOption(verifyOption())
    .option('--bucket-size <size>', 'maximum size of a bucket; grows to the largest tensor', sizeFlag)
    .option('--device-memory <size>', 'maximum device memory per rank', sizeFlag)
    .option('--release-communicators', 'free the memory of the NCCL communicators after the update')
    .addOption(
      new Option('--timeout <seconds>', 'time-out of reading the checkpoint, and of the update')
        .argParser(timeoutFlag)
        .default(300_000, '300'),
    );
}

/** Options for output. */
export function addOutputOptions(command: Command): Command {
  return command
    .option('--report <file>', 'write an HTML page that shows where the time went (needs @checkpoint-engine/report)')
    .option('--trace <file>', 'write a trace of all buckets for https://ui.perfetto.dev')
    .addOption(jsonOption())
    .addOption(barsLogLevelOption())
    .addOption(logFormatOption());
}
