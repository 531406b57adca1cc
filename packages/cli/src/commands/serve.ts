import { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import {
  countFlag,
  indexFlag,
  localRanksFlag,
  repeated,
  secondsFlag,
  sizeFlag,
  urlFlag,
} from '../config/flag-values.ts';
import { ENGINES } from '../config/requests.ts';
import { type ServeFlags, serveConfig } from '../config/serve-config.ts';
import { addP2POptions, FLUSH_CACHE_FLAG, methodOption, pauseOption, verifyOption } from './delivery-flags.ts';
import { logFormatOption, logLevelOption } from './shared-flags.ts';

const EXAMPLES = `
Examples:
  Eight ranks on the host of a vLLM server with eight GPUs; the API is at http://127.0.0.1:19730:
    checkpoint-engine serve --nproc-per-node 8 --endpoint http://127.0.0.1:8000

    curl -fX POST 127.0.0.1:19730/v1/checkpoints/step-100/files -H 'content-type: application/json' \\
      -d '{"files": ["/checkpoints/step-100"]}'
    curl -fX POST 127.0.0.1:19730/v1/checkpoints/step-100/gather-metas
    curl -fX POST 127.0.0.1:19730/v1/checkpoints/step-100/update
    curl -fX DELETE 127.0.0.1:19730/v1/checkpoints/step-100

  On a Unix socket that only this user can open:
    checkpoint-engine serve --nproc-per-node 8 --uds /run/user/1000/checkpoint-engine.sock

  For clients of the Python tool, which send their requests to each rank:
    checkpoint-engine serve --nproc-per-node 8 --rank-uds /run/user/1000/rank-{rank}.sock

  Reachable from other hosts, with a token and files from one folder only:
    export CHECKPOINT_ENGINE_TOKEN=$(openssl rand -base64 32)
    checkpoint-engine serve --nproc-per-node 8 --listen 0.0.0.0:19730 --allow-path /checkpoints

  Two hosts with eight GPUs each and the same token; host 0 serves the API for both:
    checkpoint-engine serve --nproc-per-node 8 --nnodes 2 --master-addr 10.0.0.1 --master-port 29500 \\
      --allow-path /checkpoints --endpoint http://10.0.0.1:8000 --endpoint http://10.0.0.2:8000
    checkpoint-engine serve --nproc-per-node 8 --nnodes 2 --master-addr 10.0.0.1 --master-port 29500 --node-rank 1

Environment:
  CHECKPOINT_ENGINE_TOKEN     secret that the hosts share and that clients send as Authorization: Bearer; required if other hosts can reach the server
  CHECKPOINT_ENGINE_API_KEY   sent to the engine as Authorization: Bearer
  MASTER_ADDR, MASTER_PORT    address and port of host 0, unless --master-addr and --master-port are given
  PS_P2P_STORE_RDMA_DEVICES, NCCL_IB_HCA   RDMA devices for reads between ranks, with --p2p
  PS_MAX_BUCKET_SIZE_GB       maximum size of a bucket, in GiB
  PS_MEM_FRACTION             maximum fraction of the free device memory that an update takes

GET /openapi.json describes the API. Exit status: 0 stopped on request, 1 failure, 2 wrong arguments.`;

/** `serve`: the HTTP API for a world of ranks. */
export function serveCommand({ terminal, env, setExitCode }: CommandContext): Command {
  const command = new Command('serve')
    .description('Serve the HTTP API for a world of ranks: register checkpoints, update engines')
    .option('--nproc-per-node <n>', 'ranks to start and supervise on this host, one per GPU', localRanksFlag, 1)
    .option('--nnodes <n>', 'number of hosts that run ranks, each with --nproc-per-node', countFlag, 1)
    .addOption(
      new Option('--node-rank <n>', 'index of this host; host 0 serves the API').argParser(indexFlag).default(0),
    )
    .option('--master-addr <host>', 'address of host 0 (default: MASTER_ADDR)')
    .option(
      '--master-port <port>',
      'port of host 0 to which the other hosts connect; the next port is used as well (default: MASTER_PORT)',
      countFlag,
    )
    .option(
      '--listen <host:port>',
      'address of the API (default: port 19730 of 127.0.0.1, or of ::1 on a host with IPv6 only)',
    )
    .option('--uds <path>', 'listen on this Unix socket instead, which only this user can open')
    .option(
      '--rank-uds <path>',
      "also listen on one socket per rank, with the Python tool's routes; {rank} is replaced by the rank",
    )
    .addOption(new Option('--device <kind>', 'device of the ranks').choices(['auto', 'cuda', 'host']).default('auto'))
    .addOption(new Option('--engine <name>', 'kind of engine').choices(ENGINES).default('vllm'))
    .option(
      '--endpoint <url>',
      'address of the engine, for updates without update_url; once for all inference groups, or once per group',
      repeated(urlFlag),
    )
    .option(
      '--engine-uds <path>',
      'Unix socket of the engine; once for all groups, or once per group',
      repeated(String),
    )
    .option('--inference-parallel-size <m>', 'ranks per engine (default: all, divided among the endpoints)', countFlag)
    .addOption(pauseOption())
    .option(...FLUSH_CACHE_FLAG)
    .option(
      '--allow-path <folder>',
      'allow registrations only of files below this folder; repeatable; required with a token',
      repeated(String),
    )
    .option('--bucket-size <size>', 'maximum size of a bucket; grows to the largest tensor', sizeFlag)
    .option('--device-memory <size>', 'maximum device memory per rank', sizeFlag)
    .addOption(methodOption())
    .addOption(verifyOption())
    .option(
      '--release-communicators',
      "free NCCL's device memory after each update; the next update creates new communicators",
    )
    .addOption(
      new Option('--grace-time <seconds>', 'time that a running update may continue after SIGTERM or Ctrl-C')
        .argParser(secondsFlag)
        .default(30_000, '30'),
    )
    .option(
      '--report-folder <folder>',
      'write an HTML page and a trace of each update to this folder (needs @checkpoint-engine/report)',
    )
    .option('--trace <folder>', 'write a trace of each update to this folder, for ui.perfetto.dev')
    .option('--keep-reports <n>', 'number of recent updates whose page and trace are kept', countFlag, 20)
    .addOption(logLevelOption('info'))
    .addOption(logFormatOption())
    .addHelpText('after', EXAMPLES)
    .action(async (flags: ServeFlags) => {
      const config = serveConfig(flags, env);
      const { serve } = await import('../serve/serve.ts');
      setExitCode(await serve(config, { terminal, env }));
    });
  return addP2POptions(command);
}
