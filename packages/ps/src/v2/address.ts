import { randomBytes } from 'node:crypto';
import { WORKER_ADDRESS_SCHEME } from '@checkpoint-engine/interface';

/** Where one session listens, and the key that its worker shows. */
export interface SessionAddress {
  /** In the abstract namespace of Unix sockets, without the leading NUL. */
  readonly socketName: string;
  /** Hexadecimal. */
  readonly key: string;
  /** What the engine is told. */
  readonly text: string;
}

/**
 * Bytes of a name, always: the most that there can be. Node.js up to 20 fills a shorter name up with NULs, which are
 * part of an abstract name, and Deno and later releases of Node.js do not: they would not meet.
 */
const NAME_BYTES = 107;

/** Makes an address that nobody can guess, with a name that says whose it is. */
export function newSessionAddress(deviceUuid: string, updateId: string): SessionAddress {
  const owner = `ce2-${lastOf(deviceUuid, 48)}-${lastOf(updateId, 24)}-`;
  const socketName = (owner + randomBytes(NAME_BYTES).toString('hex')).slice(0, NAME_BYTES);
  const key = randomBytes(32).toString('hex');
  return { socketName, key, text: `${WORKER_ADDRESS_SCHEME}${socketName}?key=${key}` };
}

/** The end of a name tells apart what its start does not, so the end is kept. */
function lastOf(text: string, length: number): string {
  return text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(-length);
}
