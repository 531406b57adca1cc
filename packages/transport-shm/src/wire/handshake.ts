import { createHmac, timingSafeEqual } from 'node:crypto';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { PendingConnection } from '@checkpoint-engine/interface/wire';
import type { Connection } from './connection.ts';
import type { Frame } from './frame-codec.ts';

/** Time for which an unknown peer may keep a connection without identifying itself. */
export const helloTimeoutMs = 5_000;
/**
 * Maximum number of connections of unknown peers that an endpoint or a joining member keeps, in addition to one per
 * member.
 */
export const maxPending = 128;

interface Hello extends Frame {
  readonly type: 'hello';
  readonly from: string;
  readonly proof: Uint8Array;
}

interface Welcome extends Frame {
  readonly type: 'welcome';
  readonly proof: Uint8Array;
}

/** The shared knowledge of both sides. */
export interface Credentials {
  readonly secret: Uint8Array;
  readonly from: string;
  readonly to: string;
}

/**
 * Identifies this side, and checks that the other side knows the secret.
 *
 * @returns Whether it does; `undefined` if it disconnected without an answer.
 */
export async function sendHello(
  connection: Connection,
  mine: Credentials,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const hello: Hello = { type: 'hello', from: mine.from, proof: prove('hello', mine) };
  connection.send(hello);
  const answer = await untilAborted(connection.next(), signal);
  if (answer === undefined) return undefined;
  const isKnown = answer.type === 'welcome' && matches((answer as Welcome).proof, prove('welcome', mine));
  if (isKnown) connection.trust();
  return isKnown;
}

/**
 * Waits for the other side to identify itself, and returns its name. Disconnects an unknown peer and returns
 * `undefined`.
 *
 * @param secretTimeoutMs Time limit for learning the secret, after the hello has arrived.
 */
export async function awaitHello(
  connection: Connection,
  candidate: PendingConnection,
  to: string,
  secret: Uint8Array | Promise<Uint8Array>,
  secretTimeoutMs: number = helloTimeoutMs,
): Promise<string | undefined> {
  const hello = await connection.next();
  const from: unknown = hello?.type === 'hello' ? (hello as Hello).from : undefined;
  if (typeof from === 'string') {
    candidate.advance(secretTimeoutMs);
    const theirs: Credentials = { secret: await secret, from, to };
    if (!candidate.isClosed && matches((hello as Hello).proof, prove('hello', theirs))) {
      candidate.accept();
      connection.trust();
      const welcome: Welcome = { type: 'welcome', proof: prove('welcome', theirs) };
      connection.send(welcome);
      return from;
    }
  }
  if (hello !== undefined) candidate.refuse('it does not know the secret');
  return undefined;
}

function prove(step: 'hello' | 'welcome', { secret, from, to }: Credentials): Uint8Array {
  return new Uint8Array(
    createHmac('sha256', secret)
      .update(JSON.stringify([step, from, to]))
      .digest(),
  );
}

function matches(given: unknown, expected: Uint8Array): boolean {
  return given instanceof Uint8Array && given.length === expected.length && timingSafeEqual(given, expected);
}
