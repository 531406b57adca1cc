import { DEFAULT_LINGER_MS } from './socket.ts';

/** Options that {@link openRouter} and {@link openDealer} share. */
export interface StreamSocketOptions {
  /** How long a closed socket continues to send its messages. @default 300 */
  readonly lingerMs?: number | undefined;
  /** A larger frame disconnects its sender. @default 4 MiB */
  readonly maxFrameBytes?: number | undefined;
  /**
   * A peer whose machine has vanished is disconnected after this time, and its messages are dropped. @default 10_000
   */
  readonly peerTimeoutMs?: number | undefined;
}

/** The options under ZeroMQ's names. Queues have no limit: senders bound what they send. */
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
