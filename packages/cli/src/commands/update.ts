import { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { checkpointPathFlag, nameFlag, secondsFlag, sizeFlag } from '../config/flag-values.ts';
import { UPDATE_METHODS, type UpdateFlags, updateConfig } from '../config/update-config.ts';
import {
  addEngineOptions,
  addOutputOptions,
  addP2POptions,
  addRankOptions,
  addTransferOptions,
  ENVIRONMENT_HELP,
} from './delivery-flags.ts';

const EXAMPLES = `
Examples:
  One vLLM server with tensor parallel size 8, on the 8 GPUs of this machine:
    checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --endpoint http://127.0.0.1:8000

  Four SGLang servers with two GPUs each:
    checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --engine sglang \\
      --endpoint http://127.0.0.1:8000 --endpoint http://127.0.0.1:8001 \\
      --endpoint http://127.0.0.1:8002 --endpoint http://127.0.0.1:8003

  The same, with at most 512 MiB of host memory per GPU for data from the files:
    checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --host-memory 512MiB \\
      --endpoint http://127.0.0.1:8000

  One rank of a world that torchrun, srun or mpirun starts:
    srun --ntasks-per-node 8 checkpoint-engine update --checkpoint-path /models/step-100 --endpoint http://127.0.0.1:8000

  Keep the weights in host memory for an hour, so that new instances can join (checkpoint-engine join --help):
    checkpoint-engine update --checkpoint-path /models/step-100 --nproc-per-node 8 --endpoint http://127.0.0.1:8000 \\
      --save-metas-file /shared/step-100.metas --sleep-time 3600 --p2p-host eth0
`;

/** `update`: loads a checkpoint into running inference engines. */
export function updateCommand({ terminal, env, setExitCode }: CommandContext): Command {
  const command = new Command('update')
    .description('Load a checkpoint into running inference engines, in place')
    .requiredOption('--checkpoint-path <path>', 'a checkpoint folder or a safetensors file', checkpointPathFlag)
    .option(
      '--checkpoint-name <name>',
      'name of the checkpoint in logs and metas (default: the last part of the path)',
      nameFlag,
    );
  addRankOptions(command).addOption(
    new Option(
      '--update-method <method>',
      'p2p: the ranks of --ranks (default: those of the first engine) read from the others; all: broadcast, then p2p',
    )
      .choices(UPDATE_METHODS)
      .default('broadcast'),
  );
  addP2POptions(command);
  addEngineOptions(command);
  addTransferOptions(command)
    .option(
      '--stream',
      'read the files during the update, through a small buffer in host memory; default, unless the weights stay in host memory (--sleep-time, --save-metas-file, --update-method p2p)',
    )
    .option('--no-stream', 'read all files into host memory first')
    .option('--host-memory <size>', 'maximum host memory per rank while streaming (default: 2GiB)', sizeFlag)
    .option('--keep-files', 'keep files on /dev/shm; by default they are used in place and removed after success')
    .option('--save-metas-file <file>', 'write the metas of all ranks to a file for join; keep the file secret')
    .addOption(
      new Option('--sleep-time <seconds>', 'keep the ranks and their weights for this many seconds after the update')
        .argParser(secondsFlag)
        .default(0, '0'),
    );
  return addOutputOptions(command)
    .addHelpText('after', EXAMPLES + ENVIRONMENT_HELP)
    .action(async (flags: UpdateFlags) => {
      const config = updateConfig(flags, env);
      const { update } = await import('../update/update.ts');
      setExitCode(await update(config, { terminal, env }));
    });
}
