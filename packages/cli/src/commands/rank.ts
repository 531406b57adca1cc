import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { writeOutput } from '../output/standard-streams.ts';
import type { FromRank } from '../process/messages.ts';

/** `rank`: one rank of `update --nproc-per-node`; only `update` starts it and communicates with it. */
export function rankCommand({ setExitCode }: CommandContext): Command {
  return new Command('rank').action(async () => {
    try {
      const { serveRank } = await import('../rank/serve-rank.ts');
      setExitCode(await serveRank());
    } catch (error) {
      // Its modules cannot be loaded, such as with too few file descriptors.
      const failed: FromRank = { type: 'failed', error: toCheckpointEngineError(error).toJSON(), atMs: Date.now() };
      writeOutput(`${JSON.stringify(failed)}\n`);
      setExitCode(1);
    }
  });
}
