import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import type { Server, Socket } from 'node:net';
import type { Logger } from '@checkpoint-engine/interface';
import { type PendingConnection, PendingConnections } from '@checkpoint-engine/interface/wire';
import { listenTcp, type TcpListener } from './listen-tcp.ts';
import { MEMBER_LIMITS } from './open-dealer.ts';
import type { Addressed, StoreRouter } from './router.ts';
import { ZmtpConnection, type ZmtpLimits } from './zmtp/connection.ts';

/** Limits for clients that have not joined: a hello, and heartbeats until their rank is free. */
const UNAUTHENTICATED_LIMITS: ZmtpLimits = { frameBytes: 256, frames: 3 };
/** Messages and commands that a client may send before it has joined, and how many more per beat of the server. */
const BURST = 32;
const PER_BEAT = 8;
/** Connections that have not joined, in addition to two per rank. */
const MAX_PENDING = 128;
/** How long a closing connection continues to send. */
const FLUSH_MS = 500;
const KEEP_ALIVE_MS = 10_000;

/** Options of {@link OpenRouter.listen}. */
export interface OpenRouterOptions {
  readonly host: string;
  readonly port: number;
  readonly worldSize: number;
  /** How long a client may stay without joining. */
  readonly joinTimeoutMs: number;
  readonly logger: Logger;
}

interface Peer {
  readonly identity: string;
  readonly socket: Socket;
  readonly connection: ZmtpConnection;
  /** Set while it has not joined. */
  candidate: PendingConnection | undefined;
  /** Messages and commands that it may still send while it has not joined. */
  allowance: number;
}

/**
 * The router of a world without a token, where anyone who reaches the port may say hello. It limits the messages and
 * the number of clients until they have joined.
 */
export class OpenRouter implements StoreRouter {
  readonly address: string;
  readonly #server: Server;
  readonly #pending: PendingConnections;
  readonly #sockets = new Set<Socket>();
  readonly #peers = new Map<string, Peer>();
  #take: (message: Addressed) => void = () => {};
  #isClosed = false;

  private constructor({ server, address }: TcpListener, options: OpenRouterOptions) {
    this.#server = server;
    this.address = address;
    this.#pending = new PendingConnections({
      maxCount: MAX_PENDING + 2 * options.worldSize,
      timeoutMs: options.joinTimeoutMs,
      onRefused: (why, count) =>
        options.logger.warn({ why, count }, 'The store rejected connections of clients that did not join'),
    });
    server.on('connection', (socket) => this.#admit(socket));
    server.on('error', (error) => options.logger.warn({ error }, 'The store cannot accept a connection'));
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`. */
  static async listen(options: OpenRouterOptions): Promise<OpenRouter> {
    return new OpenRouter(await listenTcp(options.host, options.port), options);
  }

  start(take: (message: Addressed) => void): void {
    this.#take = take;
  }

  async send({ identity, frames }: Addressed): Promise<void> {
    if (this.#isClosed) throw new Error('The router is closed');
    this.#peers.get(identity)?.connection.send(frames);
  }

  setJoined(identity: string, hasJoined: boolean): void {
    const peer = this.#peers.get(identity);
    if (peer === undefined || hasJoined === (peer.candidate === undefined)) return;
    peer.candidate?.accept();
    peer.candidate = hasJoined ? undefined : this.#pending.admit(peer.socket);
    peer.connection.limits = hasJoined ? MEMBER_LIMITS : UNAUTHENTICATED_LIMITS;
  }

  beat(): void {
    for (const peer of this.#peers.values()) peer.allowance = Math.min(BURST, peer.allowance + PER_BEAT);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#pending.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroySoon();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, FLUSH_MS);
    await closed;
    clearTimeout(timer);
  }

  #admit(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // 'close' follows
    const candidate = this.#pending.admit(socket);
    let peer: Peer | undefined;
    socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
    const refuse = (why: string): void => {
      connection.stop();
      if (peer !== undefined) this.setJoined(peer.identity, false);
      (peer?.candidate ?? candidate).refuse(why);
    };
    const spend = (): boolean => {
      if (peer?.candidate === undefined) return true;
      peer.allowance -= 1;
      if (peer.allowance < 0) refuse('it sends more than a client may before it has joined');
      return !peer.candidate.isClosed;
    };
    socket.on('data', () => {
      const unknown = peer === undefined ? candidate : peer.candidate;
      unknown?.throttle();
    });
    const connection = new ZmtpConnection(socket, { type: 'ROUTER', identity: '' }, UNAUTHENTICATED_LIMITS, {
      onReady: (name) => {
        candidate.advance();
        const identity = Buffer.from(name.byteLength > 0 ? name : randomBytes(5)).toString('latin1');
        // A peer that returns replaces its old connection.
        this.#peers.get(identity)?.socket.destroy();
        peer = { identity, socket, connection, candidate, allowance: BURST };
        this.#peers.set(identity, peer);
      },
      onMessage: (frames) => {
        if (spend()) this.#take({ identity: peer!.identity, frames });
      },
      onCommand: spend,
      onBroken: refuse,
    });
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (peer !== undefined && this.#peers.get(peer.identity) === peer) this.#peers.delete(peer.identity);
    });
  }
}
