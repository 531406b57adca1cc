import { CheckpointEngineError, type Device, LONGEST_TIMER_MS } from '@checkpoint-engine/interface';
import type { HeldVersion } from './held-version.ts';
import type { IncomingUpdate } from './incoming-update.ts';
import type { Puller } from './pull/puller.ts';
import { receiveUpdate } from './receive-update.ts';
import { asWorkerError } from './worker-error.ts';

/** Loads one update into the model of one device. */
export type OnUpdate = (update: IncomingUpdate, device: Device) => Promise<void> | void;

/** Options of {@link receiveOnAll}. */
export interface ReceiveOnAllOptions {
  readonly addresses: ReadonlyMap<Device, string>;
  readonly onUpdate: OnUpdate;
  /** Called when a device begins to receive. */
  readonly onReceive: (update: IncomingUpdate) => void;
  readonly credits: number | undefined;
  readonly pullerOf: ((device: Device) => Puller | undefined) | undefined;
  readonly heldOf: (device: Device) => HeldVersion;
  /** Time limit of the whole update. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Receives one update on every device at the same time, and finishes it if `onUpdate` did not. The first failure ends
 * it on all devices.
 *
 * @throws The first failure, when all devices have finished.
 */
export async function receiveOnAll(options: ReceiveOnAllOptions): Promise<void> {
  const { addresses, onUpdate, onReceive, credits, pullerOf, heldOf, timeoutMs, signal } = options;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const timer = setTimeout(() => stop.abort(tooLong(timeoutMs)), Math.min(timeoutMs, LONGEST_TIMER_MS));
  const errors: CheckpointEngineError[] = [];
  const receive = async ([device, address]: [Device, string]): Promise<void> => {
    try {
      const update = await receiveUpdate(address, {
        ...{ device, credits, timeoutMs, signal: stop.signal },
        puller: pullerOf?.(device),
        held: heldOf(device),
      });
      onReceive(update);
      try {
        // The other sessions deliver no weights, and do not concern the engine's own code.
        if (update.intent !== 'update') await update.forEachBucket(() => {});
        else await onUpdate(update, device);
        await update.finished();
      } catch (error) {
        update.fail(error);
        throw error;
      } finally {
        await update.close();
      }
    } catch (error) {
      errors.push(asWorkerError(error));
      stop.abort(errors[0]);
    }
  };
  await Promise.all([...addresses].map(receive));
  clearTimeout(timer);
  signal.removeEventListener('abort', onAbort);
  if (errors[0]) throw errors[0];
}

function tooLong(timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `The update did not end within ${timeoutMs} ms`,
    'Raise timeoutMs, or check the log of the parameter server',
    { retryable: true },
  );
}
