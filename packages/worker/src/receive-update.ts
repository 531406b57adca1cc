import { CheckpointEngineError, type Device, PULL_PART_LIMITS } from '@checkpoint-engine/interface';
import { parseWorkerAddress } from './address.ts';
import type { HeldVersion } from './held-version.ts';
import { IncomingUpdate } from './incoming-update.ts';
import { mapBuffer } from './mapped-buffer.ts';
import { PullSession } from './pull/pull-session.ts';
import type { Puller } from './pull/puller.ts';
import { ServerLink } from './server-link.ts';
import { serverBroke } from './server-message.ts';
import { asWorkerError } from './worker-error.ts';

const DEFAULT_TIMEOUT_MS = 300_000;

/** Options of {@link receiveUpdate}. */
export interface ReceiveOptions {
  /** The device of the address. The caller must close it. */
  readonly device: Device;
  /** Fails the update when it fires. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Number of buckets that the parameter server may send before the first is released; at most those that fit into the
   * buffer at a time. @default as many as fit into the buffer
   */
  readonly credits?: number | undefined;
  /**
   * Declares what the engine keeps, so that those bytes are copied directly into its memory. Other tensors are not
   * transferred. @default everything arrives in buckets
   */
  readonly puller?: Puller | undefined;
  /**
   * Keeps the version of the device's weights, over all updates. It is `unknown` from the first bytes of an update
   * until the workers of all ranks have finished.
   * @default no version is kept
   */
  readonly held?: HeldVersion | undefined;
  /**
   * Time limit for each message of the parameter server. Its death is detected at once. @default 300_000
   */
  readonly timeoutMs?: number | undefined;
}

/**
 * Connects to the parameter server and maps the buffer that it shares.
 *
 * @param address The address that the engine received for this device: `ce2:...`.
 * @throws {TypeError} It is not a worker address.
 * @throws {RangeError} `credits` or `timeoutMs` is not positive.
 * @throws `CE_PEER_UNREACHABLE`, `CE_TOKEN_REFUSED`, `CE_ENGINE_MISMATCH` (the address is for another device),
 *   `CE_REMOTE_FAILED` (the update failed elsewhere), `CE_PEER_LOST`, `CE_TIMEOUT`, `CE_ABORTED`, `CE_WORKER_PROTOCOL`.
 */
export async function receiveUpdate(address: string, options: ReceiveOptions): Promise<IncomingUpdate> {
  const { device, signal, credits, puller, held, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  if (credits !== undefined && !(Number.isSafeInteger(credits) && credits > 0)) {
    throw new RangeError(`credits must be an integer of at least 1, not ${credits}`);
  }
  if (!(timeoutMs > 0 && timeoutMs < 2 ** 31))
    throw new RangeError(`timeoutMs must be 1 to 2^31 - 1, not ${timeoutMs}`);
  const link = await ServerLink.connect(parseWorkerAddress(address), {
    ...{ timeoutMs, signal },
    canPull: puller !== undefined,
    holds: held?.version,
    canDigest: device.supports.hostAddressable,
  });
  if (puller !== undefined) link.maxUnread = PULL_PART_LIMITS.parts;
  let pulling: PullSession | undefined;
  try {
    let welcome = await link.receive();
    if (welcome.type === 'survey' && puller !== undefined) {
      if (welcome.deviceUuid !== device.uuid) throw otherDevice(welcome.deviceUuid, device.uuid);
      pulling = new PullSession(link, puller, await puller.begin(welcome.intent), welcome);
      const { checkpoint, updateId, deviceUuid } = welcome;
      welcome = await pulling.negotiate();
      if (welcome.type !== 'welcome') {
        link.putBack(welcome);
        return new IncomingUpdate(link, undefined, { checkpoint, updateId, deviceUuid }, { pulling, held });
      }
    }
    if (welcome.type !== 'welcome') throw serverBroke(`"${welcome.type}" before its welcome`);
    if (welcome.deviceUuid !== device.uuid) throw otherDevice(welcome.deviceUuid, device.uuid);
    const buffer = await mapBuffer(device, welcome);
    if (link.failure) {
      buffer.close(false);
      throw link.failure;
    }
    const update = new IncomingUpdate(link, buffer, welcome, { pulling, held });
    link.maxUnread = Math.min(credits ?? welcome.slots, welcome.slots);
    link.send({ type: 'ready', credits: link.maxUnread });
    return update;
  } catch (error) {
    link.fail(asWorkerError(error));
    await pulling?.abort();
    await link.end();
    throw error;
  }
}

function otherDevice(wanted: string, own: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ENGINE_MISMATCH',
    `The address is for device "${wanted}", but the worker uses device "${own}"`,
    'Use the address with the UUID of each device',
    { peer: wanted },
  );
}
