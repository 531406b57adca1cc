import { Buffer } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';

/** The values that both sides include in their proofs. */
export interface Meeting {
  readonly incarnation: string;
  /** The owner's address, so that it cannot impersonate another owner. */
  readonly address: string;
  readonly ownerNonce: string;
  readonly readerNonce: string;
}

/** Derives the secret of an endpoint's control channel, bound to the token if the ranks share one. */
export function channelKey(secret: string, token: string | undefined): Uint8Array {
  return createHmac('sha256', token ?? '')
    .update(secret)
    .digest();
}

/** Proves that `side` knows the key, for this meeting only. */
export function prove(key: Uint8Array, side: 'owner' | 'reader', meeting: Meeting): string {
  const { incarnation, address, ownerNonce, readerNonce } = meeting;
  return createHmac('sha256', key)
    .update(JSON.stringify([side, incarnation, address, ownerNonce, readerNonce]))
    .digest('base64url');
}

/** Compares a proof in constant time. */
export function isProof(proof: unknown, expected: string): boolean {
  if (typeof proof !== 'string') return false;
  const given = Buffer.from(proof);
  const wanted = Buffer.from(expected);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}
