import { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { checkpointPathFlag } from '../config/flag-values.ts';

interface Flags {
  readonly tensors?: true;
  readonly digests?: true;
  readonly sha256?: true;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  checkpoint-engine inspect /models/qwen3-30b
  checkpoint-engine inspect --tensors model-00001-of-00002.safetensors
  checkpoint-engine inspect --json /models/qwen3-30b | jq .dtypes
  checkpoint-engine inspect --digests --sha256 /models/qwen3-30b
  checkpoint-engine inspect --digests --json --tensors /models/qwen3-30b | jq -r '.tensors[] | "\\(.digest) \\(.name)"'

Without --digests and --sha256, only headers are read. With them, each file is read once: the digests of tensors, the
digest of the checkpoint, from which updates derive its version, and the SHA-256 of files come from the same bytes.

Exit status: 0 the files are usable, 1 the files have problems, 2 wrong arguments.`;

/** `inspect`: shows the contents of a checkpoint's files and the problems in them. */
export function inspectCommand(context: CommandContext): Command {
  const { terminal, setExitCode } = context;
  return new Command('inspect')
    .description('Show the tensors in safetensors files and the problems in the files, from their headers')
    .argument('<path>', 'a checkpoint folder or a safetensors file', checkpointPathFlag)
    .option('--tensors', 'list all tensors')
    .option('--digests', 'also read the files, and show the digest of the checkpoint and of each tensor that is listed')
    .option('--sha256', 'also read the files, and show the SHA-256 of each')
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, flags: Flags) => {
      const { inspectCheckpoint } = await import('../inspect/inspect-checkpoint.ts');
      const { inspectionJson } = await import('../inspect/inspection-json.ts');
      const { inspectionText } = await import('../inspect/inspection-text.ts');
      const headers = await inspectCheckpoint(path);
      const { digestInspection } = await import('../inspect/digest-inspection.ts');
      const wanted = { digests: flags.digests === true, sha256: flags.sha256 === true };
      const inspection = await digestInspection(headers, wanted, context);
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
