import { Command, Option } from 'commander';
import { countFlag, sizeFlag } from '../config/flag-values.ts';
import type { DemoFlags } from '../demo/demo.ts';
import type { CommandContext } from './command-context.ts';
import { jsonOption, logFormatOption, logLevelOption } from './shared-flags.ts';

const EXAMPLES = `
Examples:
  checkpoint-engine demo
  checkpoint-engine demo --ranks 2 --size 2GiB --device host
  checkpoint-engine demo --json | jq .updates

Makes a checkpoint in a temporary folder, starts workers that stand in for inference engines, updates them twice and
compares every byte that they hold with the files. Everything is removed afterwards.`;

/** `demo`: the whole way on this machine, checked bit for bit. */
export function demoCommand({ terminal, env, setExitCode }: CommandContext): Command {
  return new Command('demo')
    .description('Update workers on this machine twice, and check what they hold bit for bit')
    .option('--ranks <n>', 'ranks, with a worker each (default: 4, or as many as there are GPUs)', countFlag)
    .addOption(
      new Option('--size <size>', 'bytes of the checkpoint').argParser(sizeFlag).default(256 * 2 ** 20, '256MiB'),
    )
    .addOption(new Option('--device <kind>', 'what the ranks run on').choices(['auto', 'cuda', 'host']).default('auto'))
    .addOption(jsonOption())
    .addOption(logLevelOption('error'))
    .addOption(logFormatOption())
    .addHelpText('after', EXAMPLES)
    .action(async (flags: DemoFlags) => {
      const { demo } = await import('../demo/demo.ts');
      setExitCode(await demo(flags, { terminal, env }));
    });
}
