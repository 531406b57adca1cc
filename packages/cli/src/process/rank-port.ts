import type { FromRank, ToRank } from './messages.ts';

/** How a rank's process ended. */
export interface RankExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Why it could not be started. */
  readonly startError?: string | undefined;
  /** Why nobody knows how it ended: its host is gone. */
  readonly lost?: string | undefined;
}

/** What a rank's process tells, in its order. */
export interface RankPortEvents {
  onMessage(message: FromRank): void;
  /** A line of its standard error. */
  onLogLine(line: string): void;
  /** Called once, behind everything else. */
  onExit(exit: RankExit): void;
}

/** A rank's process, on this host or on another. */
export interface RankPort {
  /** Does nothing once the process is gone: that is seen by its end. */
  send(message: ToRank): void;
  /** Lets the process give back what it holds and end. */
  close(): void;
  /** Ends the process now. */
  kill(): void;
}

/** Starts a rank's process. */
export type OpenRankPort = (events: RankPortEvents) => RankPort;
