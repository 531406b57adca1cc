import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { connectTo } from '../wire/abstract-socket.ts';
import { Connection } from '../wire/connection.ts';
import { sendHello } from '../wire/handshake.ts';
import { parseAddress } from './address.ts';
import type { GrantFrame, LeaseFrame, ReaderFrame, ReleaseFrame } from './frames.ts';
import { readReaderFrame } from './read-frame.ts';

interface Request {
  readonly resolve: (grant: GrantFrame) => void;
  readonly reject: (error: Error) => void;
}

/** A reader's connection to one owner. */
export class OwnerLink {
  /** Rejects with `CE_PEER_LOST` when the connection breaks; never resolves. */
  readonly lost: Promise<never>;
  readonly #address: string;
  readonly #connection: Connection;
  readonly #requests = new Map<number, Request>();
  #nextId = 0;

  private constructor(address: string, connection: Connection) {
    this.#address = address;
    this.#connection = connection;
    connection.consume((frame) => this.#receive(readReaderFrame(frame)));
    this.lost = connection.closed.then(() => {
      throw peerError('CE_PEER_LOST', address, 'was lost: its connection broke');
    });
    this.lost.catch((error: Error) => {
      for (const { reject } of this.#requests.values()) reject(error);
      this.#requests.clear();
    });
  }

  /**
   * Connects to the endpoint at the address.
   *
   * @throws `CE_PEER_UNREACHABLE` No endpoint, or an unknown peer, has the address.
   */
  static async connect(address: string, from: string, signal: AbortSignal): Promise<OwnerLink> {
    const { socket, secret } = parseAddress(address);
    let connection: Connection | undefined;
    try {
      connection = new Connection(await connectTo(socket, signal));
      if (await sendHello(connection, { secret, from, to: socket }, signal)) return new OwnerLink(address, connection);
    } catch (cause) {
      connection?.destroy();
      signal.throwIfAborted();
      throw peerError('CE_PEER_UNREACHABLE', address, 'cannot be reached', cause);
    }
    connection.destroy();
    throw peerError('CE_PEER_UNREACHABLE', address, 'does not know the secret of its address');
  }

  /** Requests a lease on ranges. @throws `CE_RANGE_NOT_REGISTERED`, `CE_PEER_LOST` */
  async lease(keys: readonly string[], signal: AbortSignal): Promise<GrantFrame> {
    const id = this.#nextId++;
    const granted = new Promise<GrantFrame>((resolve, reject) => {
      this.#requests.set(id, { resolve, reject });
    });
    const request: LeaseFrame = { type: 'lease', id, keys };
    this.#connection.send(request);
    try {
      return await untilAborted(Promise.race([granted, this.lost]), signal);
    } catch (error) {
      this.release(id); // The owner may still grant it.
      throw error;
    } finally {
      this.#requests.delete(id);
    }
  }

  /** Releases a lease. */
  release(id: number): void {
    const frame: ReleaseFrame = { type: 'release', id };
    this.#connection.send(frame);
  }

  async close(): Promise<void> {
    await this.#connection.end({ type: 'closed' });
  }

  #receive(frame: ReaderFrame): void {
    if (frame.type === 'grant') this.#requests.get(frame.id)?.resolve(frame);
    if (frame.type === 'refuse') this.#requests.get(frame.id)?.reject(notRegistered(this.#address, frame.key));
  }
}

/** Creates the error for a read of a range that its owner does not share or no longer shares. */
export function notRegistered(peer: string, key: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_RANGE_NOT_REGISTERED',
    `The range "${key.slice(0, 40)}" is not registered at its owner`,
    'Load the metas of the checkpoint again: its owner has unregistered or replaced it',
    { peer, op: 'read' },
  );
}

function peerError(code: ErrorCode, peer: string, what: string, cause?: unknown): CheckpointEngineError {
  return new CheckpointEngineError(
    code,
    `The owner ${parseAddress(peer).socket} ${what}`,
    'Check that its process still runs on this host, and load its metas again if it was restarted',
    { peer, op: 'read', retryable: true, cause },
  );
}
