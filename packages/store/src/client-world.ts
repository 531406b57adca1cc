import { CheckpointEngineError, type WaitOptions } from '@checkpoint-engine/interface';
import type { Received } from './framing.ts';
import { type CallResult, PendingCall } from './pending-call.ts';
import { type CallBody, type ClientMessage, SCOPE_SEPARATOR, type ServerMessage } from './protocol.ts';
import { ScopeStore, type ScopeWorld } from './scope-store.ts';

/** The connection to the server. */
export interface Link {
  send(message: ClientMessage, values?: readonly Uint8Array[]): void;
  /** Sends what is queued, then closes. */
  close(): Promise<void>;
}

/** Options of {@link ClientWorld}. */
export interface ClientWorldOptions {
  readonly rank: number;
  readonly worldSize: number;
  /** Default time-out of calls. */
  readonly timeoutMs: number;
  readonly link: Link;
  readonly generation: number;
  /** Called at the end of {@link ClientWorld.close}. */
  readonly onClose?: (() => Promise<void>) | undefined;
}

/** One rank's side of the world: its scopes, and its calls that wait for an answer. */
export class ClientWorld implements ScopeWorld {
  readonly rank: number;
  readonly worldSize: number;
  readonly root: ScopeStore;
  readonly #options: ClientWorldOptions;
  readonly #scopes = new Map<string, ScopeStore>();
  readonly #calls = new Map<number, { readonly scope: ScopeStore; readonly call: PendingCall }>();
  #nextId = 1;
  #failure: CheckpointEngineError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ClientWorldOptions) {
    this.#options = options;
    this.rank = options.rank;
    this.worldSize = options.worldSize;
    const members = Array.from({ length: options.worldSize }, (_, rank) => rank);
    this.root = new ScopeStore({ world: this, id: '', name: '', members, generation: options.generation });
    this.#scopes.set('', this.root);
  }

  /** Handles a message of the server. */
  receive({ message, values }: Received<ServerMessage>): void {
    switch (message.t) {
      case 'result':
        this.#calls.get(message.id)?.call.resolve({ value: message.value, found: message.found, values });
        break;
      case 'failure':
        this.#calls.get(message.id)?.call.reject(CheckpointEngineError.fromJSON(message.error));
        break;
      case 'cancelled':
        this.#calls.get(message.id)?.call.cancelled(message.missing, message.absent);
        break;
      case 'failed': {
        const scope = this.#scopes.get(message.scope);
        if (scope?.generation === message.generation) scope.fail(CheckpointEngineError.fromJSON(message.error));
        return;
      }
      case 'renewed':
        this.root.renew(message.generation);
        break;
    }
  }

  /** The world has ended for this rank: every scope fails, now and later. */
  fail(error: CheckpointEngineError): void {
    if (this.#failure !== undefined || this.#closing !== undefined) return;
    this.#failure = error;
    for (const scope of this.#scopes.values()) scope.fail(error);
    // No data is left to send; close() waits for it.
    this.#options.link.close().catch(() => {});
  }

  openScope(parent: ScopeStore, name: string, members: readonly number[]): ScopeStore {
    const id = parent.id === '' ? name : parent.id + SCOPE_SEPARATOR + name;
    const known = this.#scopes.get(id);
    if (known !== undefined) {
      if (String(known.members) === String(members)) return known;
      throw new RangeError(`Epoch "${known.epochName}" is open with ranks ${known.members.join(', ')}`);
    }
    const scope = new ScopeStore({
      world: this,
      id,
      name: id.replaceAll(SCOPE_SEPARATOR, '/'),
      members,
      generation: 0,
    });
    this.#scopes.set(id, scope);
    if (this.#failure !== undefined) scope.fail(this.#failure);
    else this.#options.link.send({ t: 'open', scope: id, members });
    return scope;
  }

  /** Makes a call on a scope that is open and has not failed. */
  call(
    scope: ScopeStore,
    subject: string,
    body: CallBody,
    values: readonly Uint8Array[],
    { timeoutMs = this.#options.timeoutMs, signal }: WaitOptions,
  ): Promise<CallResult> {
    const id = this.#nextId++;
    const call = new PendingCall({
      op: body.op,
      subject,
      timeoutMs,
      signal,
      cancel: () => this.#options.link.send({ t: 'cancel', scope: scope.id, id }),
      settled: () => this.#calls.delete(id),
    });
    this.#calls.set(id, { scope, call });
    this.#options.link.send({ t: 'call', id, scope: scope.id, generation: scope.generation, ...body }, values);
    return call.promise;
  }

  rejectCalls(scope: ScopeStore, error: CheckpointEngineError): void {
    for (const pending of [...this.#calls.values()]) if (pending.scope === scope) pending.call.reject(error);
  }

  /** Removes a scope and the scopes inside it. */
  closeScope(scope: ScopeStore): void {
    if (this.#scopes.get(scope.id) !== scope) return;
    for (const other of [...this.#scopes.values()]) {
      if (other !== scope && !other.id.startsWith(scope.id + SCOPE_SEPARATOR)) continue;
      this.#scopes.delete(other.id);
      other.ended();
      if (this.#failure === undefined) this.#options.link.send({ t: 'close', scope: other.id });
    }
  }

  /** Leaves the world. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const scope of this.#scopes.values()) scope.ended();
    this.#scopes.clear();
    if (this.#failure === undefined) this.#options.link.send({ t: 'leave' });
    await this.#options.link.close();
    await this.#options.onClose?.();
  }
}
