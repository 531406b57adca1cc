import { abortError } from '../errors.ts';

/**
 * Aborts a controller when any of the signals fires, with that signal's reason. Returns a function that stops
 * listening.
 */
export function followSignals(controller: AbortController, signals: readonly (AbortSignal | undefined)[]): () => void {
  const listeners = signals.flatMap((signal) => {
    if (signal === undefined) return [];
    const listener = (): void => controller.abort(abortError(signal, 'update'));
    if (signal.aborted) listener();
    else signal.addEventListener('abort', listener, { once: true });
    return [() => signal.removeEventListener('abort', listener)];
  });
  return () => {
    for (const stop of listeners) stop();
  };
}
