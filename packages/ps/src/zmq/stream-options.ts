import { DEFAULT_LINGER_MS } from './socket.ts';

/** Options that {@link openRouter} and {@link openDealer} share. */
export interface StreamSocketOptions {
  /** How long a closed socket goes on trying to send what it was given. @default 300 */
  readonly lingerMs?: number | undefined;
  /** A larger frame disconnects its sender. @default 4 MiB */
  readonly maxFrameBytes?: number | undefined;
  /** A peer whose machine is gone is disconnected after this long, and what waits for it is dropped. @default 10_000 */
  readonly peerTimeoutMs?: number | undefined;
}

/** The options as ZeroMQ names them. No limit on queues: who sends bounds what it sends. */
export function nativeStreamOptions({
  lingerMs = DEFAULT_LINGER_MS,
  maxFrameBytes = 4 * 2 ** 20,
  peerTimeoutMs = 10_000,
}: StreamSocketOptions): Record<StreamOption, number> {
  return {
    linger: lingerMs,
    maxMessageSize: maxFrameBytes,
    sendHighWaterMark: 0,
    receiveHighWaterMark: 0,
    heartbeatInterval: Math.max(1, Math.ceil(peerTimeoutMs / 4)),
    heartbeatTimeout: peerTimeoutMs,
  };
}

type StreamOption =
  | 'linger'
  | 'maxMessageSize'
  | 'sendHighWaterMark'
  | 'receiveHighWaterMark'
  | 'heartbeatInterval'
  | 'heartbeatTimeout';
