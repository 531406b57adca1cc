import { expect, test } from 'vitest';
import { deriveTokenKeys, proofHolds, prove } from './token-keys.ts';

test('keys are the same for the same token, and differ for another', () => {
  const [a, b, other] = [deriveTokenKeys('t'), deriveTokenKeys('t'), deriveTokenKeys('u')];
  expect(a).toEqual(b);
  expect(a.serverSecretKey).toHaveLength(40);
  expect(a.serverPublicKey).toHaveLength(40);
  expect(new Set([a.serverSecretKey, a.serverPublicKey, other.serverSecretKey, other.serverPublicKey]).size).toBe(4);
});

test('a proof is valid only for its challenge, client, rank and token', () => {
  const keys = deriveTokenKeys('t');
  const subject = { nonce: new Uint8Array(32).fill(7), identity: 'id', rank: 1, worldSize: 2 };
  const mac = prove(keys, subject);
  expect(proofHolds(keys, subject, mac)).toBe(true);
  expect(proofHolds(keys, { ...subject, nonce: new Uint8Array(32) }, mac)).toBe(false);
  expect(proofHolds(keys, { ...subject, identity: 'other' }, mac)).toBe(false);
  expect(proofHolds(keys, { ...subject, rank: 0 }, mac)).toBe(false);
  expect(proofHolds(deriveTokenKeys('u'), subject, mac)).toBe(false);
  expect(proofHolds(keys, subject, mac.subarray(1))).toBe(false);
});
