import { randomBytes } from 'node:crypto';

/** Returns a name that no other world has. */
export function newWorldName(): string {
  return `compliance-${randomBytes(16).toString('hex')}`;
}
