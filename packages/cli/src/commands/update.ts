import { ENGINE_NAMES } from '@checkpoint-engine/ps/engines';
import { Command, Option } from 'commander';
import { countFlag, repeated, secondsFlag, sizeFlag, timeoutFlag, urlFlag } from '../config/flag-values.ts';
import { type UpdateFlags, updateConfig } from '../config/update-config.ts';
import type { CommandContext } from './command-context.ts';
import { jsonOption, logFormatOption, logLevelOption } from './shared-flags.ts';

const EXAMPLES = `
Examples:
  One vLLM server with tensor parallel size 8, on the 8 GPUs of this machine:
    checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --endpoint http://127.0.0.1:8000

  Four SGLang servers of two GPUs each:
    checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --engine sglang \\
      --endpoint http://127.0.0.1:8000 --endpoint http://127.0.0.1:8001 \\
      --endpoint http://127.0.0.1:8002 --endpoint http://127.0.0.1:8003

  The same, with at most 512 MiB of host memory a GPU for what is read from the files:
    checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --host-memory 512MiB \\
      --endpoint http://127.0.0.1:8000

  One rank of a world that torchrun, Slurm or Kubernetes started (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT are set):
    checkpoint-engine update --checkpoint-path /models/step-100 --endpoint http://127.0.0.1:8000

Environment:
  RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT   as launchers set them
  PS_MAX_BUCKET_SIZE_GB       most GiB of a bucket
  PS_MEM_FRACTION             share of the free device memory that the update may take
  CHECKPOINT_ENGINE_TOKEN     secret that the ranks share
  CHECKPOINT_ENGINE_API_KEY   sent to the engine as Authorization: Bearer

Sizes are written like 512MiB, 2GiB or 8e9. Exit status: 0 done, 1 failed, 2 wrong arguments.`;

/** `update`: brings a checkpoint into running inference engines. */
export function updateCommand({ terminal, env, setExitCode }: CommandContext): Command {
  return new Command('update')
    .description('Bring a checkpoint into running inference engines, in place')
    .requiredOption('--checkpoint-path <path>', 'a checkpoint folder or a safetensors file')
    .option('--checkpoint-name <name>', "the checkpoint's name in logs and metas (default: the last part of the path)")
    .option('--nproc-per-node <n>', 'start and supervise this many ranks, one for each GPU (default: 1)', countFlag)
    .addOption(new Option('--device <kind>', 'what the ranks run on').choices(['auto', 'cuda', 'host']).default('auto'))
    .addOption(
      new Option('--update-method <method>', 'how weights come to the ranks')
        .choices(['broadcast'])
        .default('broadcast'),
    )
    .addOption(new Option('--engine <name>', 'what receives').choices(ENGINE_NAMES).default('vllm'))
    .option(
      '--endpoint <url>',
      'where the engine listens; once for all inference groups, or once for each',
      repeated(urlFlag),
    )
    .option('--uds <path>', 'its Unix socket; once for all inference groups, or once for each', repeated(String))
    .option(
      '--inference-parallel-size <m>',
      'ranks that one engine spans (default: all, shared by the endpoints)',
      countFlag,
    )
    .option('--bucket-size <size>', 'most bytes of a bucket; it grows to the largest tensor', sizeFlag)
    .option('--device-memory <size>', 'most bytes of device memory that a rank may take', sizeFlag)
    .addOption(
      new Option('--stages <count>', '2: copies to the GPU and broadcasts take turns; auto: measure, keep the faster')
        .choices(['2', '3', 'auto'])
        .default('3'),
    )
    .option('--release-communicators', 'give the memory of the NCCL communicators back after the update')
    .addOption(
      new Option('--timeout <seconds>', 'for reading the checkpoint and for the update, each')
        .argParser(timeoutFlag)
        .default(300_000, '300'),
    )
    .option(
      '--stream',
      'read the files while the update runs, through little host memory: the default, unless --sleep-time or --save-metas-file keep the weights there (they are read into it while the update runs, too)',
    )
    .option('--no-stream', 'read the files into host memory first, all of them')
    .option(
      '--host-memory <size>',
      'most host memory that a rank reads into while it streams (default: 2GiB)',
      sizeFlag,
    )
    .option('--weight-version <version>', 'version that the engine is told, where it takes one')
    .option('--keep-files', 'leave files that lie on /dev/shm there; by default they are used in place and removed')
    .option('--save-metas-file <file>', 'write what each rank holds to a file')
    .addOption(
      new Option('--sleep-time <seconds>', 'keep the ranks and what they hold for so long after the update')
        .argParser(secondsFlag)
        .default(0, '0'),
    )
    .option('--trace <file>', 'write a trace of all buckets for https://ui.perfetto.dev')
    .addOption(jsonOption())
    .addOption(logLevelOption('info'))
    .addOption(logFormatOption())
    .addHelpText('after', EXAMPLES)
    .action(async (flags: UpdateFlags) => {
      const config = updateConfig(flags, env);
      const { update } = await import('../update/update.ts');
      setExitCode(await update(config, { terminal, env }));
    });
}
