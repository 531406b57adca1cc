import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { MEMBER_LIMITS, MessageReader, MessageWriter, type Received } from './framing.ts';
import { parseClientMessage } from './parse-message.ts';
import type { Payload } from './payload.ts';
import { type ClientMessage, type Hello, PROTOCOL, type ServerMessage } from './protocol.ts';
import { Silence } from './pulse.ts';
import type { Peer } from './world.ts';

/** The state of a session, which its messages must match. */
export type SessionState = 'new' | 'challenged' | 'held' | 'joined';

type Push = (messages: Iterable<Uint8Array[]>, urgent?: boolean) => void;

/** One client's connection as the server sees it, starting with its hello. */
export class Session implements Peer {
  readonly identity: string;
  readonly silence: Silence = new Silence();
  state: SessionState = 'new';
  rank = -1;
  /** The new client that claims this session's rank, until this session shows whether it is alive. */
  challenger: Session | undefined;
  readonly #writer = new MessageWriter();
  readonly #push: Push;
  readonly #reader = new MessageReader<ClientMessage>(parseClientMessage);
  #fresh = true;

  constructor(identity: string, push: Push) {
    this.identity = identity;
    this.#push = push;
  }

  /** Whether no message was read since the hello, so that a repeated hello may still come. */
  get fresh(): boolean {
    return this.#fresh;
  }

  send(message: ServerMessage, payload?: Payload): void {
    this.#push(this.#writer.write(message, payload));
  }

  beat(): void {
    this.#push(this.#writer.beat(), true);
  }

  /** @throws {FramingError} */
  read(frames: readonly Uint8Array[]): Received<ClientMessage> | undefined {
    this.#fresh = false;
    if (this.state === 'joined') this.#reader.limits = MEMBER_LIMITS;
    return this.#reader.read(frames);
  }
}

/** Returns why a hello is rejected, if it is. */
export function helloRefusal(
  { protocol, rank, worldSize }: Hello,
  wantedWorldSize: number,
): CheckpointEngineError | undefined {
  if (protocol !== PROTOCOL) {
    const what = `The store uses protocol ${PROTOCOL}, rank ${rank} uses ${protocol}`;
    return new CheckpointEngineError('CE_CONFIG_INVALID', what, 'Install the same version on every rank', { rank });
  }
  if (worldSize !== wantedWorldSize) {
    const what = `Rank ${rank} has world size ${worldSize}, the store has ${wantedWorldSize}`;
    return new CheckpointEngineError('CE_CONFIG_INVALID', what, 'Set WORLD_SIZE to the same number on every rank', {
      rank,
    });
  }
  if (!Number.isInteger(rank) || rank < 0 || rank >= worldSize) {
    const what = `Rank ${rank} is outside 0 to ${worldSize - 1}`;
    return new CheckpointEngineError('CE_CONFIG_INVALID', what, 'Set RANK to a number below WORLD_SIZE', { rank });
  }
  return undefined;
}

/** The error for a second process with a rank that is alive. */
export function duplicateRank(rank: number): CheckpointEngineError {
  const what = `Rank ${rank} has joined already and is alive`;
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, 'Give every process its own RANK', { rank });
}
