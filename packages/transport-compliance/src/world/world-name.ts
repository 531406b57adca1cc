import { randomBytes } from 'node:crypto';

/** A name that no other world has. */
export function newWorldName(): string {
  return `compliance-${randomBytes(16).toString('hex')}`;
}
