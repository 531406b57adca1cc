import { Router } from 'zeromq';
import { type CurveServer, curveServerOptions } from './curve.ts';
import { useSeveralIoThreads } from './io-threads.ts';
import { ZmqSocket } from './socket.ts';
import { nativeStreamOptions, type StreamSocketOptions } from './stream-options.ts';

/** Options of {@link openRouter}. */
export interface RouterOptions extends StreamSocketOptions {
  /** Encrypts: only clients that know the public key can connect. */
  readonly curve?: CurveServer | undefined;
  /** Whether to accept IPv6 as well. @default false */
  readonly ipv6?: boolean | undefined;
  /** A connection whose handshake takes longer is closed. @default 30_000 */
  readonly handshakeMs?: number | undefined;
}

/**
 * A ROUTER socket: the first frame of a message is the peer's identity, in both directions. A peer that returns with
 * its identity replaces its old connection. A message to an unknown identity is dropped.
 */
export function openRouter(options: RouterOptions = {}): ZmqSocket {
  useSeveralIoThreads();
  const curve = options.curve === undefined ? {} : curveServerOptions(options.curve);
  const native = new Router({
    ...nativeStreamOptions(options),
    ...curve,
    backlog: 1_024,
    handover: true,
    ipv6: options.ipv6 ?? false,
    handshakeInterval: options.handshakeMs ?? 30_000,
  });
  return new ZmqSocket(native, { spinMs: 0.5, maxPauseMs: 10 });
}
