import { readFileSync } from 'node:fs';
import process from 'node:process';
import { withDescendants } from '../served/processes.ts';
import type { ServedWorld } from '../served/served-world.ts';
import type { Answer } from '../served/server.ts';

/** What is killed in a round. */
export type Victim = 'rank' | 'server' | 'worker';

export const VICTIMS: readonly Victim[] = ['rank', 'server', 'worker'];

/** How the update ended that was under way: an answer, or a broken connection. */
export type Outcome = Answer | Error;

/** A victim, and how its death looks from outside. */
export interface Target {
  readonly victim: Victim;
  /** Its rank; a worker's is that of the rank that it belongs to. */
  readonly rank: number;
  /** Kills it with SIGKILL. */
  kill(): Promise<void>;
  /** Whether the outcome says who died. */
  isNamedBy(outcome: Outcome): boolean;
}

/** Chooses what dies. @param rank Taken for ranks and workers. */
export function target(world: ServedWorld, victim: Victim, rank: number): Target {
  if (victim === 'server') {
    return {
      victim,
      rank,
      kill: () => world.server.kill(),
      isNamedBy: (outcome) => outcome instanceof Error && /ECONNRESET|hang up|aborted/.test(String(outcome)),
    };
  }
  if (victim === 'worker') {
    const engine = world.engines[rank]!;
    return {
      victim,
      rank,
      kill: () => engine.kill(),
      isNamedBy: (outcome) => {
        const { code, rank: at, detail = '' } = problemOf(outcome);
        return /^CE_(WORKER|ENGINE)_/.test(code ?? '') && (at === rank || detail.includes(engine.socket));
      },
    };
  }
  const pid = pidOfRank(world, rank);
  return {
    victim,
    rank,
    kill: async () => {
      process.kill(pid, 'SIGKILL');
    },
    isNamedBy: (outcome) => {
      const { code, rank: at, peer, detail = '' } = problemOf(outcome);
      return code === 'CE_RANK_LOST' && (peer === `${rank}` || at === rank || detail.includes(`ank ${rank}`));
    },
  };
}

function problemOf(outcome: Outcome): { code?: string; rank?: number; peer?: string; detail?: string } {
  return outcome instanceof Error ? {} : (Object(outcome.body) as object);
}

/** Ranks are the server's children, told apart by their environment. */
function pidOfRank({ server }: ServedWorld, rank: number): number {
  const found = withDescendants(server.pid).find((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`RANK=${rank}`);
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error(`There is no process of rank ${rank}`);
  return found;
}
