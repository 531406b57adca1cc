import { CheckpointEngineError, type RankLostError, type SerializedError } from '@checkpoint-engine/interface';
import type { Payload } from './payload.ts';
import {
  type CallMessage,
  type ClientMessage,
  SCOPE_SEPARATOR,
  type ServerMessage,
  type WelcomeMessage,
} from './protocol.ts';
import { ScopeState, usedAgain } from './scope-state.ts';

/** Sends a message to a rank. */
export interface Peer {
  send(message: ServerMessage, payload?: Payload): void;
}

/** The settings that every rank receives when it joins. */
export type Greeting = Omit<WelcomeMessage, 't' | 'generation'>;

/**
 * The state of a world of ranks and its rules, without input or output: the present ranks, the open scopes, and the
 * consequences of a rank's end.
 */
export class World {
  readonly worldSize: number;
  readonly #peers = new Map<number, Peer>();
  readonly #gone = new Map<number, SerializedError>();
  readonly #scopes = new Map<string, ScopeState>();
  readonly #root: ScopeState;

  readonly #greeting: Greeting;

  constructor(worldSize: number, greeting: Greeting) {
    this.worldSize = worldSize;
    this.#greeting = greeting;
    this.#root = this.#create(
      '',
      Array.from({ length: worldSize }, (_, rank) => rank),
    );
  }

  /** Admits a rank, for the first time or again. The outermost scope starts over once no rank is missing any more. */
  join(rank: number, peer: Peer): void {
    this.#gone.delete(rank);
    if (this.#gone.size === 0 && this.#root.failure?.code === 'CE_RANK_LOST') this.#root.renew();
    this.#peers.set(rank, peer);
    peer.send({ t: 'welcome', ...this.#greeting, generation: this.#root.generation });
    this.#root.open(rank);
  }

  /** A rank left or was lost: every scope that needs it fails. */
  leave(rank: number, error: RankLostError): void {
    if (!this.#peers.delete(rank)) return;
    const reason = error.toJSON();
    this.#gone.set(rank, reason);
    for (const scope of [...this.#scopes.values()]) {
      if (!scope.members.includes(rank)) continue;
      if (!scope.hasClosed(rank)) scope.fail(reason);
      this.#close(scope, rank);
    }
  }

  /** @throws {TypeError} The message breaks the protocol. */
  handle(rank: number, message: ClientMessage, values: readonly Uint8Array[]): void {
    switch (message.t) {
      case 'open':
        this.#open(rank, message.scope, message.members);
        break;
      case 'close': {
        const scope = this.#scopes.get(message.scope);
        if (scope !== undefined && scope !== this.#root && this.#concerns(scope, rank)) this.#close(scope, rank);
        return;
      }
      case 'call':
        this.#call(rank, message, values[0]);
        break;
      case 'cancel': {
        const scope = this.#scopes.get(message.scope);
        const missing = scope?.members.includes(rank) ? scope.cancel(rank, message.id) : undefined;
        if (missing === undefined) return;
        this.#send(rank, { t: 'cancelled', id: message.id, missing, absent: this.#absent() });
        break;
      }
      default:
        throw new TypeError(`Unexpected message "${message.t}"`);
    }
  }

  #call(rank: number, call: CallMessage, value: Uint8Array | undefined): void {
    const scope = this.#scopes.get(call.scope);
    if (scope === undefined) {
      this.#send(rank, { t: 'failure', id: call.id, error: usedAgain(rank, call.scope).toJSON() });
      return;
    }
    if (!this.#concerns(scope, rank)) throw new TypeError(`Rank ${rank} uses a scope that it is not a member of`);
    if (call.op !== 'abort') {
      scope.call(rank, call, value);
      return;
    }
    if (call.error === undefined) throw new TypeError('An abort has no error');
    this.#failWithNested(scope, call.error);
    this.#send(rank, { t: 'result', id: call.id });
  }

  #open(rank: number, id: string, members: readonly number[]): void {
    if (!members.includes(rank)) throw new TypeError(`Rank ${rank} opened a scope that it is not a member of`);
    if (!members.every((member, at) => member < this.worldSize && (at === 0 || member > members[at - 1]!))) {
      throw new TypeError(`Rank ${rank} opened a scope whose members are not ranks of this world in ascending order`);
    }
    const known = this.#scopes.get(id);
    if (known !== undefined) {
      known.open(rank);
      if (String(known.members) !== String(members)) known.fail(mismatch(known, rank, members).toJSON());
      return;
    }
    const scope = this.#create(id, members);
    scope.open(rank);
    const failure = this.#inherited(id) ?? members.map((member) => this.#gone.get(member)).find((error) => error);
    if (failure !== undefined) scope.fail(failure);
    for (const member of members) if (this.#gone.has(member)) scope.close(member);
  }

  /** Whether a rank may use a scope: it is a member, or opened it with other members, which has failed the scope. */
  #concerns(scope: ScopeState, rank: number): boolean {
    return scope.members.includes(rank) || scope.failure !== undefined;
  }

  /** The error of a new scope under a failed one. The outermost scope does not pass on its failure. */
  #inherited(id: string): SerializedError | undefined {
    const at = id.lastIndexOf(SCOPE_SEPARATOR);
    return at < 0 ? undefined : this.#scopes.get(id.slice(0, at))?.failure;
  }

  #failWithNested(scope: ScopeState, error: SerializedError): void {
    const prefix = scope === this.#root ? '' : scope.id + SCOPE_SEPARATOR;
    for (const nested of this.#scopes.values()) if (nested.id.startsWith(prefix)) nested.fail(error);
    scope.fail(error);
  }

  #create(id: string, members: readonly number[]): ScopeState {
    const scope = new ScopeState(id, members, (rank, message, payload) => this.#send(rank, message, payload));
    this.#scopes.set(id, scope);
    return scope;
  }

  #close(scope: ScopeState, rank: number): void {
    scope.close(rank);
    if (scope.finished && scope !== this.#root) this.#scopes.delete(scope.id);
  }

  #absent(): number[] {
    return this.#root.members.filter((rank) => !this.#peers.has(rank));
  }

  #send(rank: number, message: ServerMessage, payload?: Payload): void {
    this.#peers.get(rank)?.send(message, payload);
  }
}

function mismatch(scope: ScopeState, rank: number, members: readonly number[]): CheckpointEngineError {
  const name = scope.id.replaceAll(SCOPE_SEPARATOR, '/');
  const what = `Rank ${rank} opened epoch "${name}" with ranks ${members.join(', ')}; it is open with ${scope.members.join(', ')}`;
  return new CheckpointEngineError('CE_CONFIG_INVALID', what, 'Pass the same members on every rank', { rank });
}
