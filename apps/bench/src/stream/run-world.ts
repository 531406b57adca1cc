import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from '@checkpoint-engine/cli';
import { message, start } from '../world/children.ts';
import type { RankFigures, RankTask } from '../world/rank-main.ts';

/** What the ranks of one run have in common. */
export interface WorldRun extends Pick<RankTask, 'files' | 'stream' | 'bucketBytes'> {
  readonly device: 'cuda' | 'host';
  readonly engines: readonly RankTask['engine'][];
  /** @default 1 */
  readonly updates?: number;
}

/** Registers and updates in fresh processes, one for each receiver, and waits for their end. */
export async function runWorld({ device, engines, updates = 1, ...common }: WorldRun): Promise<RankFigures[]> {
  const port = await freePort();
  const ranks: ChildProcess[] = engines.map((engine, rank) => {
    const worldSize = engines.length;
    const task: RankTask = {
      ...common,
      rank,
      worldSize,
      port,
      device: device === 'host' ? 'host' : rank,
      engine,
      registers: 1,
      updates,
    };
    return start('rank-main', [JSON.stringify(task)]);
  });
  try {
    const figures = await Promise.all(ranks.map((rank) => message<RankFigures>(rank)));
    await Promise.all(ranks.map((rank) => (rank.exitCode === null ? once(rank, 'exit') : undefined)));
    return figures;
  } finally {
    for (const rank of ranks) rank.kill('SIGKILL');
  }
}
