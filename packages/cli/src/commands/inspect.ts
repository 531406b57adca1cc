import { Command } from 'commander';
import { checkpointPathFlag } from '../config/flag-values.ts';
import type { CommandContext } from './command-context.ts';

interface Flags {
  readonly tensors?: true;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  checkpoint-engine inspect /models/qwen3-30b
  checkpoint-engine inspect --tensors model-00001-of-00002.safetensors
  checkpoint-engine inspect --json /models/qwen3-30b | jq .dtypes

Exit status: 0 the files are usable, 1 the files have problems, 2 wrong arguments.`;

/** `inspect`: shows the contents of a checkpoint's files and the problems in them. */
export function inspectCommand({ terminal, setExitCode }: CommandContext): Command {
  return new Command('inspect')
    .description('Show the tensors in safetensors files and the problems in the files. Reads headers only')
    .argument('<path>', 'a checkpoint folder or a safetensors file', checkpointPathFlag)
    .option('--tensors', 'list all tensors')
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, flags: Flags) => {
      const { inspectCheckpoint } = await import('../inspect/inspect-checkpoint.ts');
      const { inspectionJson } = await import('../inspect/inspection-json.ts');
      const { inspectionText } = await import('../inspect/inspection-text.ts');
      const inspection = await inspectCheckpoint(path);
      const allTensors = flags.tensors === true;
      const { colors } = terminal.out;
      terminal.print(
        flags.json
          ? JSON.stringify(inspectionJson(inspection, allTensors))
          : inspectionText(inspection, { colors, allTensors, debug: false }),
      );
      if (inspection.problems.length > 0) setExitCode(1);
    });
}
