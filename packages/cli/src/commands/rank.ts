import { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';

/** `rank`: one rank of `update --nproc-per-node`; only `update` starts it and talks to it. */
export function rankCommand({ setExitCode }: CommandContext): Command {
  return new Command('rank').action(async () => {
    const { serveRank } = await import('../rank/serve-rank.ts');
    setExitCode(await serveRank());
  });
}
