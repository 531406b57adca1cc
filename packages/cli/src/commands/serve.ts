import { Command, Option } from 'commander';
import { countFlag, indexFlag, repeated, secondsFlag, sizeFlag, urlFlag } from '../config/flag-values.ts';
import { ENGINES } from '../config/jobs.ts';
import { type ServeFlags, serveConfig } from '../config/serve-config.ts';
import type { CommandContext } from './command-context.ts';
import { addP2POptions, FLUSH_CACHE_FLAG, methodOption, pauseOption } from './delivery-flags.ts';
import { logFormatOption, logLevelOption } from './shared-flags.ts';

const EXAMPLES = `
Examples:
  Eight ranks beside a vLLM server of eight GPUs; the API is at http://127.0.0.1:19730:
    checkpoint-engine serve --nproc-per-node 8 --endpoint http://127.0.0.1:8000

    curl -fX POST 127.0.0.1:19730/v1/checkpoints/step-100/files -H 'content-type: application/json' \\
      -d '{"files": ["/checkpoints/step-100"]}'
    curl -fX POST 127.0.0.1:19730/v1/checkpoints/step-100/gather-metas
    curl -fX POST 127.0.0.1:19730/v1/checkpoints/step-100/update
    curl -fX DELETE 127.0.0.1:19730/v1/checkpoints/step-100

  At a Unix socket that only this user can open:
    checkpoint-engine serve --nproc-per-node 8 --uds /run/user/1000/checkpoint-engine.sock

  For other hosts, with a token, and files from one folder only:
    export CHECKPOINT_ENGINE_TOKEN=$(openssl rand -base64 32)
    checkpoint-engine serve --nproc-per-node 8 --listen 0.0.0.0:19730 --allow-path /checkpoints

  Two hosts of eight GPUs; the first serves the API for both (the token is the same):
    checkpoint-engine serve --nproc-per-node 8 --nnodes 2 --master-addr 10.0.0.1 --master-port 29500 \\
      --allow-path /checkpoints --endpoint http://10.0.0.1:8000 --endpoint http://10.0.0.2:8000
    checkpoint-engine serve --nproc-per-node 8 --nnodes 2 --master-addr 10.0.0.1 --master-port 29500 --node-rank 1

Environment:
  CHECKPOINT_ENGINE_TOKEN     what hosts share, and what clients send as Authorization: Bearer; needed where other hosts can reach the server
  CHECKPOINT_ENGINE_API_KEY   sent to the engine as Authorization: Bearer
  MASTER_ADDR, MASTER_PORT    where the hosts meet, unless --master-addr and --master-port say it
  PS_P2P_STORE_RDMA_DEVICES, NCCL_IB_HCA   RDMA devices that ranks read through, with --p2p
  PS_MAX_BUCKET_SIZE_GB       most GiB of a bucket
  PS_MEM_FRACTION             share of the free device memory that an update may take

GET /openapi.json describes the API. Exit status: 0 ended as asked, 1 failed, 2 wrong arguments.`;

/** `serve`: the HTTP API for a whole world of ranks. */
export function serveCommand({ terminal, env, setExitCode }: CommandContext): Command {
  const command = new Command('serve')
    .description('Serve the HTTP API for a world of ranks: register checkpoints, update engines')
    .option('--nproc-per-node <n>', 'ranks to start and supervise, one for each GPU', countFlag, 1)
    .option('--nnodes <n>', 'hosts that run ranks, each with --nproc-per-node', countFlag, 1)
    .addOption(
      new Option('--node-rank <n>', 'which of them this is; the first, 0, serves the API')
        .argParser(indexFlag)
        .default(0),
    )
    .option('--master-addr <host>', 'address of the first host (default: MASTER_ADDR)')
    .option(
      '--master-port <port>',
      'where the hosts meet there; the port after it is used, too (default: MASTER_PORT)',
      countFlag,
    )
    .option('--listen <host:port>', 'where the API listens (default: 127.0.0.1:19730)')
    .option('--uds <path>', 'listen at this Unix socket instead, which only this user can open')
    .addOption(new Option('--device <kind>', 'what the ranks run on').choices(['auto', 'cuda', 'host']).default('auto'))
    .addOption(
      new Option('--engine <name>', 'what receives: how updates are asked for').choices(ENGINES).default('vllm'),
    )
    .option(
      '--endpoint <url>',
      'where the engine listens, for updates that name no update_url; once for all inference groups, or once for each',
      repeated(urlFlag),
    )
    .option('--engine-uds <path>', 'its Unix socket; once for all groups, or once for each', repeated(String))
    .option(
      '--inference-parallel-size <m>',
      'ranks that one engine spans (default: all, shared by the endpoints)',
      countFlag,
    )
    .addOption(pauseOption())
    .option(...FLUSH_CACHE_FLAG)
    .option(
      '--allow-path <folder>',
      'register files below this folder only; may be given several times; needed with a token',
      repeated(String),
    )
    .option('--bucket-size <size>', 'most bytes of a bucket; it grows to the largest tensor', sizeFlag)
    .option('--device-memory <size>', 'most bytes of device memory that a rank may take for an update', sizeFlag)
    .addOption(methodOption())
    .addOption(
      new Option('--grace-time <seconds>', 'how long an update that runs may go on after SIGTERM or Ctrl-C')
        .argParser(secondsFlag)
        .default(30_000, '30'),
    )
    .option(
      '--report-folder <folder>',
      'write a page and a trace of each update there (needs @checkpoint-engine/report)',
    )
    .option('--keep-reports <n>', 'updates whose page and trace are kept there: the newest', countFlag, 20)
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
