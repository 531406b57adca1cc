import { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { localRanksFlag, sizeFlag } from '../config/flag-values.ts';
import type { DemoFlags } from '../demo/demo.ts';
import { jsonOption, logFormatOption, logLevelOption } from './shared-flags.ts';

const EXAMPLES = `
Examples:
  checkpoint-engine demo
  checkpoint-engine demo --ranks 2 --size 2GiB --device host
  checkpoint-engine demo --json | jq .updates

Creates a checkpoint in a temporary folder, starts workers that stand in for inference engines, updates them twice and
compares every byte that they hold with the files. Removes everything at the end.`;

/** `demo`: updates workers on this machine and verifies every byte. */
export function demoCommand({ terminal, env, setExitCode }: CommandContext): Command {
  return new Command('demo')
    .description('Update workers on this machine twice, and verify every byte that they hold')
    .option('--ranks <n>', 'number of ranks, with one worker each (default: 4, or the number of GPUs)', localRanksFlag)
    .addOption(
      new Option('--size <size>', 'size of the checkpoint').argParser(sizeFlag).default(256 * 2 ** 20, '256MiB'),
    )
    .addOption(new Option('--device <kind>', 'device of the ranks').choices(['auto', 'cuda', 'host']).default('auto'))
    .addOption(jsonOption())
    .addOption(logLevelOption('error'))
    .addOption(logFormatOption())
    .addHelpText('after', EXAMPLES)
    .action(async (flags: DemoFlags) => {
      const { demo } = await import('../demo/demo.ts');
      setExitCode(await demo(flags, { terminal, env }));
    });
}
