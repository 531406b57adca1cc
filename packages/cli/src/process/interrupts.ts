import process from 'node:process';
import { CheckpointEngineError } from '@checkpoint-engine/interface';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The system's requests to end, as signals that work can be given. */
export interface Interrupts {
  /** Fires at the first request, with a `CE_ABORTED` as its reason: end in good order. */
  readonly asked: AbortSignal;
  /** Fires at the next one: end now. */
  readonly insisted: AbortSignal;
  /** Gives the signals back to the system. */
  stop(): void;
}

/**
 * Takes over SIGINT, SIGTERM and SIGHUP of this process.
 *
 * A terminal sends Ctrl-C to every process of a command, so that ranks may see it as well as their supervisor.
 */
export function watchInterrupts(): Interrupts {
  const asked = new AbortController();
  const insisted = new AbortController();
  const listeners = SIGNALS.map((name) => {
    const listener = (): void => {
      if (asked.signal.aborted) insisted.abort();
      else asked.abort(interruptedError(name));
    };
    process.on(name, listener);
    return () => process.off(name, listener);
  });
  return {
    asked: asked.signal,
    insisted: insisted.signal,
    stop: () => {
      for (const stop of listeners) stop();
    },
  };
}

function interruptedError(signal: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ABORTED',
    `Interrupted by ${signal}`,
    'Run the command again when ready: the workers were told that this update failed',
  );
}
