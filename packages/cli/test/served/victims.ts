import process from 'node:process';
import { rankProcesses } from '../processes.ts';
import type { Answer } from '../serve-process.ts';
import type { ServedWorld } from './served-world.ts';

/** The kind of process that is killed in a round. */
export type Victim = 'rank' | 'server' | 'worker';

export const VICTIMS: readonly Victim[] = ['rank', 'server', 'worker'];

/** How the interrupted update ended: with an answer, or with a broken connection. */
export type Outcome = Answer | Error;

/** A victim, and how its death looks from outside. */
export interface Target {
  readonly victim: Victim;
  /** Its rank. For a worker, the rank that updates it. */
  readonly rank: number;
  /** Kills it with SIGKILL. */
  kill(): Promise<void>;
  /** Whether the outcome says which process died. */
  isNamedBy(outcome: Outcome): boolean;
}

/** @param rank Used for ranks and workers. */
export function target(world: ServedWorld, victim: Victim, rank: number): Target {
  if (victim === 'server') {
    return {
      victim,
      rank,
      kill: () => world.killServer(),
      isNamedBy: (outcome) => outcome instanceof Error && /ECONNRESET|hang up|aborted/.test(String(outcome)),
    };
  }
  if (victim === 'worker') {
    return {
      victim,
      rank,
      kill: () => world.engines[rank]!.kill(),
      isNamedBy: (outcome) => {
        const { code, rank: at, detail = '' } = problemOf(outcome);
        return /^CE_(WORKER|ENGINE)_/.test(code ?? '') && (at === rank || detail.includes(world.socketOf(rank)));
      },
    };
  }
  const pid = rankProcesses(world.serverPid).get(rank);
  if (pid === undefined) throw new Error(`There is no process of rank ${rank}`);
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
  return outcome instanceof Error || outcome.text === '' ? {} : outcome.json();
}
