import { Buffer } from 'node:buffer';
import { createHmac, createPrivateKey, createPublicKey, hkdfSync, timingSafeEqual } from 'node:crypto';
import { z85 } from './zmq/z85.ts';

/** The keys from a shared token: the server's key pair (Z85) and the key of the clients' proof. */
export interface TokenKeys {
  readonly serverSecretKey: string;
  readonly serverPublicKey: string;
  readonly proofKey: Uint8Array;
}

/** The subject of a rank's proof that it knows the token. */
export interface ProofSubject {
  readonly nonce: Uint8Array;
  readonly identity: string;
  readonly rank: number;
  readonly worldSize: number;
}

// PKCS #8 of an X25519 private key, up to its 32 raw bytes (RFC 8410).
const PKCS8_X25519 = '302e020100300506032b656e04220420';

/**
 * Derives the keys of a world from its token. The server's public key is never sent, so it is as secret as the token: a
 * client without the token gets no answer.
 *
 * @throws {TypeError} The token is empty.
 */
export function deriveTokenKeys(token: string): TokenKeys {
  if (token === '') throw new TypeError('The token must not be empty');
  const derive = (use: string): Buffer =>
    Buffer.from(hkdfSync('sha256', token, 'checkpoint-engine', `store ${use}`, 32));
  const secret = derive('server key');
  return { serverSecretKey: z85(secret), serverPublicKey: z85(publicKeyOf(secret)), proofKey: derive('client proof') };
}

function publicKeyOf(secret: Uint8Array): Uint8Array {
  const key = Buffer.concat([Buffer.from(PKCS8_X25519, 'hex'), secret]);
  const jwk = createPublicKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' })).export({ format: 'jwk' });
  return Buffer.from(jwk.x!, 'base64url');
}

/** The answer to a server's challenge. */
export function prove(keys: TokenKeys, { nonce, identity, rank, worldSize }: ProofSubject): Uint8Array {
  return createHmac('sha256', keys.proofKey).update(nonce).update(`${identity}/${rank}/${worldSize}`).digest();
}

export function proofHolds(keys: TokenKeys, subject: ProofSubject, mac: Uint8Array): boolean {
  const wanted = prove(keys, subject);
  return mac.byteLength === wanted.byteLength && timingSafeEqual(mac, wanted);
}
