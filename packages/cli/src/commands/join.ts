import { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { nameFlag, repeated } from '../config/flag-values.ts';
import { type JoinFlags, joinConfig } from '../config/update-config.ts';
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
  A new instance of 8 GPUs reads the weights from serving ranks, which continue to serve. They were started with
  update --save-metas-file /shared/step-100.metas --sleep-time 3600 --p2p-host eth0:
    checkpoint-engine join --load-metas-file /shared/step-100.metas --nproc-per-node 8 --p2p-host eth0 \\
      --endpoint http://127.0.0.1:8000

  Two instances hold the weights: if a rank of the first instance has ended, its weights are read from the second:
    checkpoint-engine join --load-metas-file a.metas --load-metas-file b.metas --endpoint http://127.0.0.1:8000
`;

/** `join`: loads a checkpoint from the host memory of other ranks into inference engines of this world. */
export function joinCommand({ terminal, env, setExitCode }: CommandContext): Command {
  const command = new Command('join')
    .description('Load a checkpoint from the host memory of other ranks into inference engines')
    .requiredOption(
      '--load-metas-file <file>',
      'file that the serving ranks wrote with --save-metas-file; repeat it for other holders of the same checkpoint',
      repeated(String),
    )
    .option('--checkpoint-name <name>', 'reject metas of any other checkpoint', nameFlag);
  addRankOptions(command);
  addP2POptions(command);
  addEngineOptions(command);
  addTransferOptions(command);
  return addOutputOptions(command)
    .addHelpText('after', EXAMPLES + ENVIRONMENT_HELP)
    .action(async (flags: JoinFlags) => {
      const config = joinConfig(flags, env);
      const { update } = await import('../update/update.ts');
      setExitCode(await update(config, { terminal, env }));
    });
}
