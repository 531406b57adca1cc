import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { RangeKey } from './control/key.ts';
import type { Links } from './control/links.ts';
import type { PeerLink } from './control/peer-link.ts';
import { notRegistered } from './errors.ts';
import type { ReadBatch } from './read-batch.ts';

/** An owner waits for a reader as long as the reader itself waits, plus this time. */
const marginMs = 1000;

/**
 * Reads while the owner holds a lease on the ranges. The function asks the owner before the read whether the ranges are
 * still registered, and afterwards whether they remained registered. It reads ranges without a control channel
 * directly.
 *
 * @param ending Aborted, with the reason, if the owner is lost meanwhile.
 */
export async function withLease(
  links: Links,
  batch: ReadBatch,
  timeoutMs: number,
  ending: AbortController,
  read: () => Promise<void>,
): Promise<void> {
  if (batch.key === undefined) return await read();
  const { link, lease } = await takeLease(links, batch, batch.key, timeoutMs + marginMs, ending.signal);
  const end = (): void => ending.abort(link.signal.reason);
  link.signal.addEventListener('abort', end, { once: true });
  const release = async (): Promise<boolean> => {
    const reply = await unlessAborted(link.request({ op: 'release', lease }, timeoutMs + marginMs), ending.signal);
    return 'held' in reply && reply.held;
  };
  try {
    const failure = await read().then(
      () => undefined,
      (error: Error) => error,
    );
    const wasHeld = await release().catch((error) => {
      throw failure ?? error;
    });
    if (!wasHeld) throw notRegistered(batch.job.peer, 'it was withdrawn during the read', { cause: failure });
    if (failure !== undefined) throw failure;
  } finally {
    link.signal.removeEventListener('abort', end);
  }
}

async function takeLease(
  links: Links,
  batch: ReadBatch,
  key: RangeKey,
  ttlMs: number,
  signal: AbortSignal,
): Promise<{ link: PeerLink; lease: number }> {
  for (let isFirst = true; ; isFirst = false) {
    const link = await unlessAborted(links.to(batch.job.peer, key), signal);
    try {
      const reply = await unlessAborted(link.request({ op: 'lease', ranges: batch.ranges, ttlMs }, ttlMs), signal);
      if ('lease' in reply) return { link, lease: reply.lease };
      throw notRegistered(batch.job.peer, 'its owner has withdrawn it');
    } catch (error) {
      // The channel comes from an earlier read and broke unnoticed: a new one shows the current state.
      const stale = CheckpointEngineError.isInstance(error) && error.code === 'CE_PEER_LOST';
      if (!stale || !isFirst) throw error;
    }
  }
}

/** Returns the promise's outcome, or throws the signal's reason if that comes first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const give = (): void => reject(signal.reason);
    if (signal.aborted) give();
    signal.addEventListener('abort', give, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', give));
  });
}
