import { randomBytes } from 'node:crypto';
import { WORKER_ADDRESS_SCHEME } from '@checkpoint-engine/interface';

/** Where one session listens, and the key that its worker shows. */
export interface SessionAddress {
  /** In the abstract namespace of Unix sockets, without the leading NUL; at most 107 bytes. */
  readonly socketName: string;
  /** Hexadecimal. */
  readonly key: string;
  /** What the engine is told. */
  readonly text: string;
}

/** Makes an address that nobody can guess, with a name that says whose it is. */
export function newSessionAddress(deviceUuid: string, updateId: string): SessionAddress {
  const random = randomBytes(8).toString('hex');
  const socketName = `ce2-${lastOf(deviceUuid, 48)}-${lastOf(updateId, 32)}-${random}`;
  const key = randomBytes(32).toString('hex');
  return { socketName, key, text: `${WORKER_ADDRESS_SCHEME}${socketName}?key=${key}` };
}

/** The end of a name tells apart what its start does not, so the end is kept. */
function lastOf(text: string, length: number): string {
  return text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(-length);
}
