import { WORKER_ADDRESS_SCHEME } from '@checkpoint-engine/interface';

/** The address where a parameter server waits for this worker. */
export interface WorkerAddress {
  /** In the abstract namespace of Unix sockets, without the leading NUL. */
  readonly socketName: string;
  readonly key: string;
}

/**
 * Parses the address that the engine received: `ce2:<abstract socket name>?key=<hex secret>`.
 *
 * @throws {TypeError} It is not a worker address. The error does not contain the text, which is a secret.
 */
export function parseWorkerAddress(text: string): WorkerAddress {
  const match = /^ce2:([A-Za-z0-9._-]{1,107})\?key=([0-9a-f]{16,128})$/.exec(text);
  if (match) return { socketName: match[1]!, key: match[2]! };
  const scheme = /^[a-z0-9]{1,10}:/.exec(text)?.[0] ?? 'no scheme';
  throw new TypeError(
    `Expected a worker address "${WORKER_ADDRESS_SCHEME}<name>?key=<hex>", got one with ${scheme}: is the parameter server set to protocol v2`,
  );
}
