import {
  abortError,
  CheckpointEngineError,
  type GatherOptions,
  RankLostError,
  type Store,
  type WaitOptions,
} from '@checkpoint-engine/interface';
import { MAX_VALUE_BYTES } from './payload.ts';
import type { CallResult } from './pending-call.ts';
import { type CallBody, SCOPE_SEPARATOR } from './protocol.ts';
import { toWireError } from './wire-error.ts';

/** How long {@link ScopeStore.abort} waits for the server before it fails only this rank's side. */
const ABORT_TIMEOUT_MS = 5_000;
const MAX_KEY = 1_024;

/** The world of a scope, which makes the scope's calls. */
export interface ScopeWorld {
  readonly rank: number;
  readonly worldSize: number;
  openScope(parent: ScopeStore, name: string, members: readonly number[]): ScopeStore;
  /** Makes a call on a scope that is open and has not failed. */
  call(
    scope: ScopeStore,
    subject: string,
    body: CallBody,
    values: readonly Uint8Array[],
    options: WaitOptions,
  ): Promise<CallResult>;
  rejectCalls(scope: ScopeStore, error: CheckpointEngineError): void;
  /** Removes a scope and the scopes inside it. */
  closeScope(scope: ScopeStore): void;
  /** Leaves the world. */
  close(): Promise<void>;
}

/** The options of a {@link ScopeStore}. */
export interface ScopeStoreOptions {
  readonly world: ScopeWorld;
  readonly id: string;
  readonly name: string;
  readonly members: readonly number[];
  readonly generation: number;
}

/** A scope of the store at one rank. */
export class ScopeStore implements Store {
  readonly id: string;
  readonly epochName: string;
  readonly members: readonly number[];
  readonly #world: ScopeWorld;
  #generation: number;
  #controller = new AbortController();
  #ended = false;

  constructor({ world, id, name, members, generation }: ScopeStoreOptions) {
    this.#world = world;
    this.id = id;
    this.epochName = name;
    this.members = members;
    this.#generation = generation;
  }

  get rank(): number {
    return this.#world.rank;
  }

  get worldSize(): number {
    return this.#world.worldSize;
  }

  get generation(): number {
    return this.#generation;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async set(key: string, value: Uint8Array, options: WaitOptions = {}): Promise<void> {
    checkValue(value);
    await this.#call('Key', { op: 'set', key }, options, [value]);
  }

  async get(key: string, options: WaitOptions = {}): Promise<Uint8Array | undefined> {
    const { values, found } = await this.#call('Key', { op: 'get', key }, options);
    if (found === true && values[0] === undefined) throw brokenAnswer(`Key "${key}"`);
    return values[0];
  }

  async wait(key: string, options: WaitOptions = {}): Promise<Uint8Array> {
    const { values } = await this.#call('Key', { op: 'wait', key }, options);
    if (values[0] === undefined) throw brokenAnswer(`Key "${key}"`);
    return values[0];
  }

  async add(key: string, delta: number, options: WaitOptions = {}): Promise<number> {
    if (!Number.isSafeInteger(delta)) throw new RangeError(`delta must be a safe integer, not ${delta}`);
    const { value } = await this.#call('Counter', { op: 'add', key, delta }, options);
    if (value === undefined) throw brokenAnswer(`Counter "${key}"`);
    return value;
  }

  async barrier(name: string, options: WaitOptions = {}): Promise<void> {
    await this.#call('Barrier', { op: 'barrier', key: name }, options);
  }

  async allGather(name: string, value: Uint8Array, options: GatherOptions = {}): Promise<Uint8Array[]> {
    checkValue(value);
    const { from, to } = options;
    for (const ranks of [from, to]) this.#checkSome(ranks);
    const body = { op: 'allGather', key: name, ...(from && { from }), ...(to && { to }) } as const;
    const { values } = await this.#call('All-gather', body, options, [value]);
    const given = this.members.filter((rank) => from?.includes(rank) ?? true);
    const wanted = (to?.includes(this.rank) ?? true) ? given.length : 0;
    if (values.length !== wanted) throw brokenAnswer(`All-gather "${name}"`);
    return [...values];
  }

  epoch(name: string, members: readonly number[] = this.members): Store {
    if (typeof name !== 'string' || name === '' || name.includes(SCOPE_SEPARATOR)) {
      throw new TypeError(
        `An epoch's name must be a string with at least one printable character, not ${String(name)}`,
      );
    }
    const sorted = [...new Set(members)].sort((a, b) => a - b);
    const unknownRank = sorted.find((rank) => !this.members.includes(rank));
    if (unknownRank !== undefined) throw new RangeError(`Rank ${unknownRank} is not a member of ${this.#title}`);
    if (!sorted.includes(this.rank)) throw new RangeError(`Rank ${this.rank} is not among the members it passes`);
    if (this.#ended) throw this.#closedError();
    return this.#world.openScope(this, name, sorted);
  }

  async abort(error: Error): Promise<void> {
    if (this.#ended || this.signal.aborted) return;
    const reason = toWireError(error, this.rank);
    try {
      await this.#call('Abort', { op: 'abort', key: '', error: reason }, { timeoutMs: ABORT_TIMEOUT_MS });
    } catch {
      // Either this scope has failed by now, as it should, or the server does not answer.
      this.fail(CheckpointEngineError.fromJSON(reason));
    }
  }

  async close(): Promise<void> {
    if (this.id === '') await this.#world.close();
    else this.#world.closeScope(this);
  }

  /** The scope has failed: every call rejects with `error`. The first failure stays. */
  fail(error: CheckpointEngineError): void {
    if (this.#ended || this.signal.aborted) return;
    this.#controller.abort(error);
    this.#world.rejectCalls(this, error);
  }

  /** The world is complete again: the outermost scope starts over. */
  renew(generation: number): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#controller = new AbortController();
  }

  /** This rank has closed the scope. */
  ended(): void {
    this.#ended = true;
    this.#world.rejectCalls(this, this.#closedError());
  }

  #call(kind: string, body: CallBody, options: WaitOptions, values: readonly Uint8Array[] = []): Promise<CallResult> {
    checkKey(body.key);
    const { timeoutMs, signal } = options;
    if (timeoutMs !== undefined && !(timeoutMs >= 0))
      throw new RangeError(`timeoutMs must be at least 0, not ${timeoutMs}`);
    if (this.#ended) throw this.#closedError();
    if (this.signal.aborted) throw abortError(this.signal);
    const subject = `${kind} "${body.key}"${this.id === '' ? '' : ` of ${this.#title}`}`;
    if (signal?.aborted) throw abortError(signal, subject);
    return this.#world.call(this, subject, body, values, options);
  }

  #checkSome(ranks: readonly number[] | undefined): void {
    const unknownRank = ranks?.find((rank) => !this.members.includes(rank));
    if (unknownRank !== undefined) throw new RangeError(`Rank ${unknownRank} is not a member of ${this.#title}`);
  }

  get #title(): string {
    return this.id === '' ? 'the outermost scope' : `epoch "${this.epochName}"`;
  }

  #closedError(): CheckpointEngineError {
    const hint = this.id === '' ? 'Connect a new store' : 'Open an epoch with a new name';
    return new CheckpointEngineError('CE_CLOSED', `Rank ${this.rank} has closed ${this.#title}`, hint);
  }
}

/** The error of an answer without the requested values: the program on the port is not the store. */
const brokenAnswer = (subject: string): RankLostError =>
  new RankLostError(0, `${subject}: the store's answer lacks the requested values`);

function checkKey(key: string): void {
  if (typeof key !== 'string') throw new TypeError(`A key or name must be a string, not ${String(key)}`);
  if (key.length > MAX_KEY) throw new RangeError(`A key or name has at most ${MAX_KEY} characters, not ${key.length}`);
}

function checkValue(value: Uint8Array): void {
  if (!(value instanceof Uint8Array)) throw new TypeError('A value must be a Uint8Array');
  if (value.byteLength > MAX_VALUE_BYTES) {
    throw new RangeError(`A value has at most ${MAX_VALUE_BYTES} bytes, not ${value.byteLength}`);
  }
}
