import { connect, type Socket } from 'node:net';
import { CheckpointEngineError, LONGEST_TIMER_MS } from '@checkpoint-engine/interface';
import { splitAddress } from '../address.ts';
import { lost, notRegistered, silent, unreachable } from '../errors.ts';
import { encodeFrame, FrameDecoder } from '../frames.ts';
import { type RangeKey, randomId } from './key.ts';
import { maxHandshakeBytes, maxMessageBytes, type Reply, type Request, readReply, readWelcome } from './messages.ts';
import { channelKey, isProof, prove } from './proof.ts';

const keepAliveMs = 10_000;

type RequestBody = Request extends infer Each ? (Each extends Request ? Omit<Each, 'id'> : never) : never;

/** The reader's side of the control channel to one owner. */
export class PeerLink {
  readonly #peer: string;
  readonly #socket: Socket;
  readonly #waiting: ((message: unknown) => void)[] = [];
  readonly #pending = new Map<number, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>();
  readonly #lost = new AbortController();
  readonly #decoder = new FrameDecoder(maxHandshakeBytes);
  #ready = false;
  #next = 0;

  private constructor(peer: string, socket: Socket) {
    this.#peer = peer;
    this.#socket = socket;
    socket.on('data', (piece) => {
      try {
        for (const message of this.#decoder.push(piece)) this.#take(message);
      } catch {
        socket.destroy();
      }
    });
    socket.once('close', () => {
      this.#lost.abort(lost(this.#peer));
      for (const { reject } of this.#pending.values()) reject(this.signal.reason);
      this.#pending.clear();
    });
  }

  /** Fires, with `CE_PEER_LOST`, when the owner is gone. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Connects to the owner of a range, and checks that it is that owner.
   *
   * @throws `CE_PEER_UNREACHABLE`, `CE_RANGE_NOT_REGISTERED` if another process has the owner's address,
   *         `CE_TOKEN_REFUSED`.
   */
  static async connect(peer: string, key: RangeKey, token: string | undefined, timeoutMs: number): Promise<PeerLink> {
    const socket = connect({ host: splitAddress(peer).host, port: key.port });
    socket.setNoDelay(true).setKeepAlive(true, keepAliveMs);
    let failure: Error | undefined;
    socket.on('error', (error) => {
      failure = error;
    });
    const link = new PeerLink(peer, socket);
    const timer = setTimeout(() => {
      failure = new Error(`no answer within ${timeoutMs} ms`);
      socket.destroy();
    }, timeoutMs);
    try {
      const readerNonce = randomId();
      socket.write(encodeFrame({ incarnation: key.incarnation, nonce: readerNonce }));
      const welcome = readWelcome(await link.#message());
      if ('another' in welcome) throw notRegistered(peer, "another process has its owner's address now");
      const meeting = {
        incarnation: key.incarnation,
        address: welcome.address,
        ownerNonce: welcome.nonce,
        readerNonce,
      };
      const secret = channelKey(key.secret, token);
      if (!isProof(welcome.proof, prove(secret, 'owner', meeting))) throw refused(peer);
      if (welcome.address !== peer) throw notRegistered(peer, `it belongs to ${welcome.address}`);
      socket.write(encodeFrame({ proof: prove(secret, 'reader', meeting) }));
      link.#ready = true;
      link.#decoder.maxBytes = maxMessageBytes;
      return link;
    } catch (error) {
      socket.destroy();
      if (CheckpointEngineError.isInstance(error) && error !== link.signal.reason) throw error;
      throw unreachable(peer, failure ?? (error === link.signal.reason ? undefined : (error as Error)));
    } finally {
      clearTimeout(timer);
    }
  }

  /** @throws `CE_PEER_LOST`, `CE_TIMEOUT` */
  request(body: RequestBody, timeoutMs: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.signal.aborted) return reject(this.signal.reason);
      const id = this.#next++;
      const timer = setTimeout(
        () => {
          this.#pending.delete(id);
          reject(silent(this.#peer, timeoutMs));
        },
        Math.min(timeoutMs, LONGEST_TIMER_MS),
      );
      const settle =
        <T>(act: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          act(value);
        };
      this.#pending.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.#socket.write(encodeFrame({ ...body, id }));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The next message of the handshake. */
  #message(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const end = (): void => reject(this.signal.reason);
      this.signal.addEventListener('abort', end, { once: true });
      this.#waiting.push((message) => {
        this.signal.removeEventListener('abort', end);
        resolve(message);
      });
    });
  }

  #take(message: unknown): void {
    if (!this.#ready) {
      this.#waiting.shift()?.(message);
      return;
    }
    const reply = readReply(message);
    this.#pending.get(reply.id)?.resolve(reply);
    this.#pending.delete(reply.id);
  }
}

function refused(peer: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TOKEN_REFUSED',
    `${peer} and this process do not share the same token`,
    'Set the same token on all ranks',
    { op: 'read', peer },
  );
}
