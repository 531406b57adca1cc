import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { newSocketName } from '../wire/abstract-socket.ts';

/** What the address of an endpoint says. Who has it may read what the endpoint registers. */
export interface Address {
  readonly socket: string;
  readonly secret: Uint8Array;
}

const scheme = 'shm';
const secretBytes = 32;

/** An address of a new endpoint. */
export function newAddress(): Address {
  return { socket: newSocketName(), secret: new Uint8Array(randomBytes(secretBytes)) };
}

/** The address as text, for metas. */
export function formatAddress({ socket, secret }: Address): string {
  return `${scheme}:${socket}:${Buffer.from(secret).toString('base64url')}`;
}

/** Reads an address. @throws `CE_PEER_UNREACHABLE` It is not one of this transport. */
export function parseAddress(text: string): Address {
  const [found, socket, encoded, ...more] = text.split(':');
  const secret = new Uint8Array(Buffer.from(encoded ?? '', 'base64url'));
  if (found === scheme && socket && secret.length === secretBytes && more.length === 0) return { socket, secret };
  throw new CheckpointEngineError(
    'CE_PEER_UNREACHABLE',
    `"${text.slice(0, 60)}" is no address of transport-shm: shm:<socket>:<secret> wanted`,
    'Use the same P2P transport at both sides',
    { peer: text },
  );
}
