import type { StoreDealer } from './dealer.ts';
import { pump } from './pump.ts';
import { openDealer } from './zmq/dealer-socket.ts';
import type { ZmqSocket } from './zmq/socket.ts';

/** Options of {@link CurveDealer}. */
export interface CurveDealerOptions {
  readonly address: string;
  readonly identity: string;
  readonly serverKey: string;
  /** Called for every message. Must not throw. */
  readonly take: (frames: Uint8Array[]) => void;
}

/** The dealer of a world with a token. ZeroMQ encrypts, and connects only to a server that knows the token. */
export class CurveDealer implements StoreDealer {
  readonly #address: string;
  readonly #socket: ZmqSocket;
  readonly #receiving: Promise<void>;

  constructor({ address, identity, serverKey, take }: CurveDealerOptions) {
    this.#address = address;
    this.#socket = openDealer({ identity, ipv6: address.includes('['), curve: { serverKey } });
    this.#socket.connect(address);
    this.#receiving = pump(this.#socket, take);
    this.#receiving.catch(() => {}); // close() reports the error
  }

  reach(): boolean {
    // ZeroMQ gives up an address permanently if a server there aborts the handshake; the next one may be ours.
    if (!this.#socket.writable) this.#socket.connect(this.#address);
    return true;
  }

  send(frames: Uint8Array[]): Promise<void> {
    return this.#socket.send(frames);
  }

  async close(lingerMs?: number): Promise<void> {
    this.#socket.close(lingerMs);
    await this.#receiving;
  }
}
