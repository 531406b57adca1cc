import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { newSocketName } from '../wire/abstract-socket.ts';

/**
 * The contents of an endpoint's address. Every process that knows it can read the ranges that the endpoint registers.
 */
export interface Address {
  readonly socket: string;
  readonly secret: Uint8Array;
}

const scheme = 'shm';
const secretBytes = 32;

/** Creates the address of a new endpoint. */
export function newAddress(): Address {
  return { socket: newSocketName(), secret: new Uint8Array(randomBytes(secretBytes)) };
}

/** Formats an address as text, for metas. */
export function formatAddress({ socket, secret }: Address): string {
  return `${scheme}:${socket}:${Buffer.from(secret).toString('base64url')}`;
}

/** Parses an address. @throws `CE_PEER_UNREACHABLE` It is not an address of this transport. */
export function parseAddress(text: string): Address {
  const [found, socket, encoded, ...more] = text.split(':');
  const secret = new Uint8Array(Buffer.from(encoded ?? '', 'base64url'));
  if (found === scheme && socket && secret.length === secretBytes && more.length === 0) return { socket, secret };
  throw new CheckpointEngineError(
    'CE_PEER_UNREACHABLE',
    `"${text.slice(0, 60)}" is not an address of transport-shm: expected shm:<socket>:<secret>`,
    'Use the same P2P transport on both sides',
    { peer: text },
  );
}
