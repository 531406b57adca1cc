import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Connection } from './connection.ts';
import { raceSignal } from './deadline.ts';
import type { Frame } from './frame-codec.ts';

/** How long a stranger may keep a connection without saying who it is. */
const helloTimeoutMs = 5_000;

interface Hello extends Frame {
  readonly type: 'hello';
  readonly from: string;
  readonly proof: Uint8Array;
}

interface Welcome extends Frame {
  readonly type: 'welcome';
  readonly proof: Uint8Array;
}

/** What both sides know, and nobody else. */
export interface Credentials {
  readonly secret: Uint8Array;
  readonly from: string;
  readonly to: string;
}

/** Says who we are, and makes sure that the other side knows the secret too. Gives whether it does. */
export async function sayHello(connection: Connection, mine: Credentials, signal: AbortSignal): Promise<boolean> {
  const hello: Hello = { type: 'hello', from: mine.from, proof: prove('hello', mine) };
  connection.send(hello);
  const answer = await raceSignal(signal, connection.next());
  return answer?.type === 'welcome' && matches((answer as Welcome).proof, prove('welcome', mine));
}

/** Waits for the other side to say who it is, and gives its name, or `undefined` for a stranger, which is sent away. */
export async function awaitHello(
  connection: Connection,
  to: string,
  secret: Uint8Array | Promise<Uint8Array>,
): Promise<string | undefined> {
  const timer = setTimeout(() => connection.destroy(), helloTimeoutMs);
  const hello = await connection.next();
  clearTimeout(timer);
  const from: unknown = hello?.type === 'hello' ? (hello as Hello).from : undefined;
  if (typeof from === 'string') {
    const theirs: Credentials = { secret: await secret, from, to };
    if (matches((hello as Hello).proof, prove('hello', theirs))) {
      const welcome: Welcome = { type: 'welcome', proof: prove('welcome', theirs) };
      connection.send(welcome);
      return from;
    }
  }
  connection.destroy();
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
