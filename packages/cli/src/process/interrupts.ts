import { constants } from 'node:os';
import process from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Signal = (typeof SIGNALS)[number];

/** Signals of the operating system that ask this process to end. */
export interface Interrupts {
  /** Fires at the first request, with `CE_ABORTED` as its reason: shut down in order. */
  readonly asked: AbortSignal;
  /** Fires at the second request: end now. */
  readonly insisted: AbortSignal;
  /** The signal that came first. */
  readonly askedBy: string | undefined;
  /** Restores the default handling of the signals. */
  stop(): void;
}

/** Options of {@link watchInterrupts}. */
export interface WatchInterruptsOptions {
  /**
   * Whether SIGHUP is a request to end. Node.js resets the disposition that `nohup` sets, so the terminal decides:
   * if no standard stream is a terminal, its end does not concern this process.
   * @default whether a standard stream is a terminal
   */
  readonly endsAtHangup?: boolean | undefined;
  /** Called when SIGHUP is ignored. */
  readonly onHangupIgnored?: (() => void) | undefined;
}

/** The log message when SIGHUP is ignored. */
export const HANGUP_IGNORED: string =
  'SIGHUP is ignored because no standard stream is a terminal: use SIGTERM to end the process';

let firstSignal: Signal | undefined;

/** The exit status for the signal that this process received: 128 and the signal's number. */
export function interruptStatus(): number | undefined {
  return firstSignal && 128 + constants.signals[firstSignal];
}

/**
 * Handles SIGINT, SIGTERM and SIGHUP of this process.
 *
 * A terminal sends Ctrl-C to every process of a command, so ranks can receive it as well as their supervisor.
 */
export function watchInterrupts(options: WatchInterruptsOptions = {}): Interrupts {
  const { endsAtHangup = hasTerminal(), onHangupIgnored } = options;
  const asked = new AbortController();
  const insisted = new AbortController();
  let askedBy: Signal | undefined;
  const listeners = SIGNALS.map((name) => {
    const listener = (): void => {
      if (name === 'SIGHUP' && !endsAtHangup) {
        onHangupIgnored?.();
        return;
      }
      if (asked.signal.aborted) {
        insisted.abort();
        return;
      }
      askedBy = name;
      firstSignal = name;
      asked.abort(interruptedError(name));
    };
    process.on(name, listener);
    return () => process.off(name, listener);
  });
  return {
    asked: asked.signal,
    insisted: insisted.signal,
    get askedBy() {
      return askedBy;
    },
    stop: () => {
      for (const stop of listeners) stop();
    },
  };
}

function hasTerminal(): boolean {
  return [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY === true);
}

function interruptedError(signal: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ABORTED',
    `Interrupted by ${signal}`,
    'Run the command again; all files are in place, and workers that the update had reached were notified',
  );
}
