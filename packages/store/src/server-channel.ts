import { randomUUID } from 'node:crypto';
import { CurveDealer } from './curve-dealer.ts';
import type { StoreDealer } from './dealer.ts';
import { MEMBER_LIMITS, MessageReader, MessageWriter, type Received } from './framing.ts';
import { OpenDealer } from './open-dealer.ts';
import { Outbox } from './outbox.ts';
import { parseServerMessage } from './parse-message.ts';
import { toPayload } from './payload.ts';
import { type ClientMessage, type Hello, PROTOCOL, type ServerMessage } from './protocol.ts';
import type { TokenKeys } from './token-keys.ts';

/** How long a closing channel continues to send. */
const FLUSH_MS = 1_000;

/** Options of {@link ServerChannel}. */
export interface ServerChannelOptions {
  /** `tcp://host:port`, or with keys `ipc://path`. */
  readonly address: string;
  readonly keys: TokenKeys | undefined;
  /** Called for every wire message. Must not throw. */
  readonly take: (frames: readonly Uint8Array[]) => void;
  /** The dealer has connected, and can send a hello. Not called for every kind of dealer. */
  readonly onReady: () => void;
}

/** One name of a rank at the server, and its numbered messages in both directions. */
export class ServerChannel {
  readonly identity: string = randomUUID();
  /** Whether the server has sent anything. */
  isAnswered = false;
  readonly #dealer: StoreDealer;
  readonly #outbox: Outbox<Uint8Array[]>;
  readonly #writer = new MessageWriter();
  readonly #reader = new MessageReader<ServerMessage>(parseServerMessage);

  constructor({ address, keys, take, onReady }: ServerChannelOptions) {
    const { identity } = this;
    this.#reader.limits = MEMBER_LIMITS;
    this.#dealer =
      keys === undefined
        ? new OpenDealer({ address, identity, take, onReady })
        : new CurveDealer({ address, identity, take, serverKey: keys.serverPublicKey });
    this.#outbox = new Outbox((frames) => this.#dealer.send(frames));
  }

  /** Sends a hello, which is outside the numbering, if the dealer can send it. */
  hello(rank: number, worldSize: number): void {
    if (!this.#dealer.reach()) return;
    this.#outbox.push(new MessageWriter().write({ t: 'hello', protocol: PROTOCOL, rank, worldSize } satisfies Hello));
  }

  send(message: ClientMessage, values: readonly Uint8Array[] = []): void {
    this.#outbox.push(this.#writer.write(message, toPayload(values)));
  }

  beat(): void {
    this.#outbox.push(this.#writer.beat(), true);
  }

  /** Reads one wire message; see {@link MessageReader.read}. */
  read(frames: readonly Uint8Array[]): Received<ServerMessage> | undefined {
    return this.#reader.read(frames);
  }

  /** Sends what is queued if the server has ever answered, then closes. */
  async close(): Promise<void> {
    if (this.isAnswered) await this.#outbox.flush(FLUSH_MS);
    await this.#dealer.close(this.isAnswered ? undefined : 0);
  }
}
