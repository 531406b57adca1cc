import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';
import { Meeting, type Round } from './meeting.ts';
import { EMPTY_PAYLOAD, type Payload, toPayload } from './payload.ts';
import { type CallMessage, SCOPE_SEPARATOR, type ServerMessage } from './protocol.ts';

/** Sends a message to a rank. Does nothing if the rank is not connected. */
export type SendToRank = (rank: number, message: ServerMessage, payload?: Payload) => void;

const NOTHING = new Uint8Array(0);

/** The server's state of one scope: values, counters, waiting calls, and the reason of its failure. */
export class ScopeState {
  readonly id: string;
  readonly members: readonly number[];
  readonly #send: SendToRank;
  readonly #values = new Map<string, Uint8Array>();
  readonly #counters = new Map<string, number>();
  readonly #waiters = new Map<string, { rank: number; id: number }[]>();
  readonly #meetings = new Map<string, Meeting>();
  readonly #opened = new Set<number>();
  readonly #closed = new Set<number>();
  #generation = 0;
  #failure: SerializedError | undefined;

  constructor(id: string, members: readonly number[], send: SendToRank) {
    this.id = id;
    this.members = members;
    this.#send = send;
  }

  get generation(): number {
    return this.#generation;
  }

  get failure(): SerializedError | undefined {
    return this.#failure;
  }

  /** Whether every member has closed it or has left. */
  get finished(): boolean {
    return this.members.every((rank) => this.#closed.has(rank));
  }

  hasClosed(rank: number): boolean {
    return this.#closed.has(rank);
  }

  open(rank: number): void {
    this.#opened.add(rank);
    if (this.#failure !== undefined) this.#sendFailure(rank, this.#failure);
  }

  call(rank: number, call: CallMessage, value: Uint8Array = NOTHING): void {
    const { id, key } = call;
    const refusal = this.#refusal(rank, call);
    if (refusal !== undefined) {
      this.#send(rank, { t: 'failure', id, error: refusal });
      return;
    }
    switch (call.op) {
      case 'set':
        this.#values.set(key, value);
        this.#send(rank, { t: 'result', id });
        for (const waiter of this.#waiters.get(key) ?? []) this.#sendValue(waiter.rank, waiter.id, value);
        this.#waiters.delete(key);
        return;
      case 'get':
        this.#sendValue(rank, id, this.#values.get(key));
        break;
      case 'wait': {
        const known = this.#values.get(key);
        if (known !== undefined) {
          this.#sendValue(rank, id, known);
          return;
        }
        const waiters = this.#waiters.get(key);
        if (waiters === undefined) this.#waiters.set(key, [{ rank, id }]);
        else waiters.push({ rank, id });
        return;
      }
      case 'add': {
        const sum = (this.#counters.get(key) ?? 0) + (call.delta ?? 0);
        this.#counters.set(key, sum);
        this.#send(rank, { t: 'result', id, value: sum });
        break;
      }
      case 'barrier':
      case 'allGather':
        this.#meet(rank, call, value);
        break;
    }
  }

  /** Withdraws a pending call. Returns the members that it waited for, or `undefined` if it is not pending. */
  cancel(rank: number, id: number): number[] | undefined {
    for (const [name, meeting] of this.#meetings) {
      if (!meeting.withdraw(rank, id)) continue;
      const missing = meeting.missing.filter((member) => member !== rank);
      if (meeting.empty) this.#meetings.delete(name);
      return missing;
    }
    for (const [key, waiters] of this.#waiters) {
      const left = waiters.filter((waiter) => waiter.rank !== rank || waiter.id !== id);
      if (left.length === waiters.length) continue;
      if (left.length > 0) this.#waiters.set(key, left);
      else this.#waiters.delete(key);
      return [];
    }
    return undefined;
  }

  /** Fails every pending and later call of every member. The first failure stays. */
  fail(error: SerializedError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#waiters.clear();
    this.#meetings.clear();
    this.#values.clear();
    this.#counters.clear();
    for (const rank of this.#opened) this.#sendFailure(rank, error);
  }

  /** Resets a failed scope, which is empty then. */
  renew(): void {
    this.#generation += 1;
    this.#failure = undefined;
    this.#closed.clear();
    for (const rank of this.#opened) this.#send(rank, { t: 'renewed', generation: this.#generation });
  }

  /** Handles a member that has closed the scope or has left: members that wait for it are notified at once. */
  close(rank: number): void {
    this.#closed.add(rank);
    this.#opened.delete(rank);
    for (const [key, waiters] of this.#waiters) {
      this.#waiters.set(
        key,
        waiters.filter((waiter) => waiter.rank !== rank),
      );
    }
    for (const [name, meeting] of this.#meetings) {
      meeting.withdrawAll(rank);
      const error = this.#closedBefore(rank, name).toJSON();
      for (const waiter of meeting.drain()) this.#send(waiter.rank, { t: 'failure', id: waiter.id, error });
      this.#meetings.delete(name);
    }
  }

  #meet(rank: number, { id, op, key, from, to }: CallMessage, value: Uint8Array): void {
    // Members that make different calls do not meet.
    const name = `${op} "${key}"${from ? ` from ${from}` : ''}${to ? ` to ${to}` : ''}`;
    const [closed] = this.#closed;
    if (closed !== undefined) {
      this.#send(rank, { t: 'failure', id, error: this.#closedBefore(closed, name).toJSON() });
      return;
    }
    const meeting = this.#meetings.get(name) ?? new Meeting(this.members);
    this.#meetings.set(name, meeting);
    const round = meeting.arrive(rank, { id, value });
    if (round === undefined) return;
    if (meeting.empty) this.#meetings.delete(name);
    const given = op === 'barrier' ? [] : round.filter((one) => from?.includes(one.rank) ?? true);
    this.#sendRound(round, toPayload(given.map(({ arrival }) => arrival.value)), to);
  }

  #sendRound(round: Round, payload: Payload, to: readonly number[] | undefined): void {
    for (const { rank, arrival } of round) {
      const isGiven = to?.includes(rank) ?? true;
      this.#send(rank, { t: 'result', id: arrival.id }, isGiven ? payload : EMPTY_PAYLOAD);
    }
  }

  #sendValue(rank: number, id: number, value: Uint8Array | undefined): void {
    if (value === undefined) this.#send(rank, { t: 'result', id, found: false });
    else this.#send(rank, { t: 'result', id, found: true }, toPayload([value]));
  }

  #sendFailure(rank: number, error: SerializedError): void {
    this.#send(rank, { t: 'failed', scope: this.id, generation: this.#generation, error });
  }

  #refusal(rank: number, { generation }: CallMessage): SerializedError | undefined {
    if (this.#failure !== undefined) return this.#failure;
    if (generation !== this.#generation) {
      const what = 'The world lost a rank and is complete again since this call was made';
      return new CheckpointEngineError('CE_ABORTED', what, 'Make the call again', { retryable: true }).toJSON();
    }
    return this.#closed.has(rank) ? usedAgain(rank, this.id).toJSON() : undefined;
  }

  #closedBefore(rank: number, name: string): CheckpointEngineError {
    const what = `Rank ${rank} closed ${scopeTitle(this.id)} before it came to ${name}`;
    const hint = `Check the log of rank ${rank}: all members must make the same calls`;
    return new CheckpointEngineError('CE_CLOSED', what, hint, { peer: rank });
  }
}

const scopeTitle = (id: string): string =>
  id === '' ? 'the outermost scope' : `epoch "${id.replaceAll(SCOPE_SEPARATOR, '/')}"`;

/** The error for calls on a scope that the rank has closed before. */
export function usedAgain(rank: number, id: string): CheckpointEngineError {
  const what = `Rank ${rank} uses ${scopeTitle(id)} again after it closed it`;
  return new CheckpointEngineError('CE_CLOSED', what, 'Give every epoch its own name', { rank });
}
