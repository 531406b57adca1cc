import type { FromRank, ToRank } from './messages.ts';

/** The end of a rank's process. */
export interface RankExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The reason why the process could not be started. */
  readonly startError?: string | undefined;
  /** The reason why the end is unknown: the host of the process was lost. */
  readonly lost?: string | undefined;
}

/** The events of a rank's process, in order. */
export interface RankPortEvents {
  onMessage(message: FromRank): void;
  /** A line of its standard error. */
  onLogLine(line: string): void;
  /** Called once, after all other events. */
  onExit(exit: RankExit): void;
}

/** A rank's process, on this host or on another. */
export interface RankPort {
  /** Does nothing if the process has ended. */
  send(message: ToRank): void;
  /** Lets the process release what it holds and end. */
  close(): void;
  /** Kills the process. */
  kill(): void;
}

/** Starts a rank's process. */
export type OpenRankPort = (events: RankPortEvents) => RankPort;
