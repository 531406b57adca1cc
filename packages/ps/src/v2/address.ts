import { randomBytes } from 'node:crypto';
import { WORKER_ADDRESS_SCHEME } from '@checkpoint-engine/interface';

/** The address of one session, and the key that its worker presents. */
export interface SessionAddress {
  /** In the abstract namespace of Unix sockets, without the leading NUL. */
  readonly socketName: string;
  /** Hexadecimal. */
  readonly key: string;
  /** The address for the engine. */
  readonly text: string;
}

/**
 * The fixed length of a name: the maximum. Node.js up to 20 pads a shorter name with NULs, which are part of an
 * abstract name, and Deno and later releases of Node.js do not, so they would not meet.
 */
const NAME_BYTES = 107;

/** Creates an address that cannot be guessed, with a name that identifies its owner. */
export function newSessionAddress(deviceUuid: string, updateId: string): SessionAddress {
  const owner = `ce2-${lastOf(deviceUuid, 48)}-${lastOf(updateId, 24)}-`;
  const socketName = (owner + randomBytes(NAME_BYTES).toString('hex')).slice(0, NAME_BYTES);
  const key = randomBytes(32).toString('hex');
  return { socketName, key, text: `${WORKER_ADDRESS_SCHEME}${socketName}?key=${key}` };
}

/** The ends of names differ more than their starts, so the end is kept. */
function lastOf(text: string, length: number): string {
  return text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(-length);
}
