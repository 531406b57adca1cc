import { Dealer } from 'zeromq';
import { type CurveClient, curveClientOptions } from './curve.ts';
import { useSeveralIoThreads } from './io-threads.ts';
import { ZmqSocket } from './socket.ts';
import { nativeStreamOptions, type StreamSocketOptions } from './stream-options.ts';

/** Options of {@link openDealer}. */
export interface DealerOptions extends StreamSocketOptions {
  /** The identity of this socket for a ROUTER: 1 to 255 characters. */
  readonly identity: string;
  /** Encrypts, and connects only to the server that holds the secret key. */
  readonly curve?: CurveClient | undefined;
  /** Whether to connect to IPv6 addresses as well. @default false */
  readonly ipv6?: boolean | undefined;
}

/** A DEALER socket: messages in both directions at any time, with one ROUTER. It reconnects by itself. */
export function openDealer(options: DealerOptions): ZmqSocket {
  useSeveralIoThreads();
  const curve = options.curve === undefined ? {} : curveClientOptions(options.curve);
  const native = new Dealer({
    ...nativeStreamOptions(options),
    ...curve,
    routingId: options.identity,
    ipv6: options.ipv6 ?? false,
    reconnectInterval: 100,
    reconnectMaxInterval: 1_000,
    // The program that accepted the connection may be closing, or may not use ZeroMQ: the next one may be the server.
    handshakeInterval: 2_000,
  });
  return new ZmqSocket(native, { spinMs: 0.5, maxPauseMs: 10 });
}
