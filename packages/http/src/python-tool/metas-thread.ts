import { Worker } from 'node:worker_threads';
import { CheckpointEngineError, type SerializedError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { BodyError } from './bodies.ts';
import type { NamedMetas } from './metas-json.ts';

/** A message to the thread. */
export interface Conversion {
  readonly id: number;
  readonly what: 'toJson' | 'fromJson';
  readonly bytes: Uint8Array;
}

/** The answer of the thread: a value, the issues of a body that is not valid, or an error. */
export interface Converted {
  readonly id: number;
  readonly value?: Uint8Array | NamedMetas | undefined;
  readonly issues?: readonly object[] | undefined;
  readonly error?: SerializedError | undefined;
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** Time limit for conversions. Those of the largest models take a few seconds on a busy machine. */
const CONVERT_MS = 60_000;
/** Time until an idle thread ends: ranks send and read the same metas one after another. */
const IDLE_MS = 30_000;

/**
 * Converts metas between the JSON of the Python tool's server and the codec of this project. The JSON of a model with
 * 140,000 tensors is 18 MB in size, and a conversion takes a second. A thread does that work, so that the server
 * answers other requests meanwhile. The thread starts with the first conversion.
 */
export class MetasThread {
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #nextId = 0;
  #isClosed = false;

  /** Writes metas as the Python tool's server does: as the UTF-8 of `metasToJson`. @throws `CE_METAS_INVALID` */
  toJson(encoded: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return this.#convert('toJson', encoded);
  }

  /**
   * Reads the body of a request with metas, which moves to the thread: it is empty here afterwards.
   *
   * @throws {BodyError} @throws `CE_METAS_INVALID`
   */
  fromJson(body: Uint8Array<ArrayBuffer>): Promise<NamedMetas> {
    return this.#convert('fromJson', body, movable(body));
  }

  /** Ends the thread. Pending conversions reject with `CE_CLOSED`. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#end(closedError());
  }

  #convert<Value extends Uint8Array | NamedMetas>(
    what: Conversion['what'],
    bytes: Uint8Array,
    moved: readonly ArrayBuffer[] = [],
  ): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw closedError();
      const id = this.#nextId++;
      this.#worker ??= this.#start();
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, what, bytes } satisfies Conversion, moved);
      this.#limit();
    });
  }

  #start(): Worker {
    const { url } = import.meta;
    const worker = new Worker(new URL(`./metas-thread-main${url.slice(url.lastIndexOf('.'))}`, url));
    worker.unref();
    worker.on('message', (converted: Converted) => this.#settle(converted));
    worker.on('error', (error) => this.#worker === worker && this.#end(toCheckpointEngineError(error)));
    worker.on('exit', () => this.#worker === worker && this.#end(closedError()));
    return worker;
  }

  #settle({ id, value, issues, error }: Converted): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#limit();
    if (value !== undefined) pending?.resolve(value as never);
    else pending?.reject(error === undefined ? new BodyError(issues ?? []) : CheckpointEngineError.fromJSON(error));
  }

  /** Bounds the time to the next answer, or the time without work. */
  #limit(): void {
    clearTimeout(this.#timer);
    const isBusy = this.#pending.size > 0;
    this.#timer = setTimeout(() => this.#end(lateError()), isBusy ? CONVERT_MS : IDLE_MS);
    this.#timer.unref();
  }

  #end(error: Error): void {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** The memory of bytes that have it to themselves: it can move to another thread without a copy. */
export function movable({ buffer, byteLength }: Uint8Array<ArrayBuffer>): readonly ArrayBuffer[] {
  return buffer.byteLength === byteLength ? [buffer] : [];
}

function lateError(): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_TIMEOUT',
    `Metas were not converted within ${CONVERT_MS} ms`,
    'Try again when the machine is less busy',
    { op: 'convert metas', retryable: true },
  );
}

function closedError(): CheckpointEngineError {
  return new CheckpointEngineError('CE_CLOSED', 'The server is shutting down', 'Try again when it is back');
}
