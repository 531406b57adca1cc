import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import {
  CheckpointEngineError,
  type Copy,
  type Device,
  type MemoryRange,
  type Stream,
} from '@checkpoint-engine/interface';
import { HeldTensor, TensorHome } from './held-tensor.ts';
import type { IncomingTensor } from './incoming-tensor.ts';
import type { IncomingUpdate } from './incoming-update.ts';
import type { Declaration, PulledSlice } from './pull/declaration.ts';
import { type CheckpointTensor, type KeptSlice, wholeOf } from './pull/kept-slice.ts';
import { Puller } from './pull/puller.ts';

const ALIGNMENT_BYTES = 256;
/** Number of bytes to hash before the function yields to other work. */
const HASH_STEP_BYTES = 8 * 1024 * 1024;

/**
 * Keeps a copy of every tensor in host memory: a replacement for an engine's model in demos and tests, and a pattern
 * for real engines. Memory is allocated when a tensor is first seen and reused afterwards. A stream of the device
 * copies, so the JS thread never blocks.
 */
export class CopyingWorker implements AsyncDisposable {
  readonly #device: Device;
  readonly #stream: Stream;
  readonly #tensors = new Map<string, HeldTensor>();

  readonly #keep: CopyingWorkerOptions['keep'];
  readonly #puller: Puller | undefined;

  /** @internal */
  constructor({ device, keep, inBuckets, prove }: CopyingWorkerOptions) {
    this.#device = device;
    this.#keep = keep;
    this.#stream = device.createStream('copying-worker');
    if (keep === undefined) return;
    this.#puller = new Puller({ device, prove, declare: (tensors) => this.#declare(tensors, inBuckets) });
  }

  /** The slices that the worker keeps, for `receiveUpdate` and `serveWorker`. Absent if it keeps everything. */
  get puller(): Puller | undefined {
    return this.#puller;
  }

  /** The tensors that it holds, by name. */
  get tensors(): ReadonlyMap<string, HeldTensor> {
    return this.#tensors;
  }

  /** Receives a complete update. Pass it to `serveWorker`: `onUpdate: worker.receive`. */
  readonly receive = async (update: IncomingUpdate): Promise<void> => {
    await update.forEachBucket((tensors) => this.copyBucket(tensors));
    await update.finished();
  };

  /** Copies the tensors of one bucket, for callers that drive the update themselves. */
  async copyBucket(tensors: readonly IncomingTensor[]): Promise<void> {
    const kept = tensors.map((tensor) => this.#slicesOf(tensor));
    await this.#makeRoom(tensors, kept);
    const copies: Copy[] = [];
    for (const [at, tensor] of tensors.entries()) {
      const held = this.#tensors.get(tensor.name);
      if (held === undefined) continue;
      held.dtype = tensor.dtype;
      held.shape = tensor.shape;
      for (const { from, to, sizeBytes } of rowsOf(kept[at]!)) {
        copies.push({
          from: { ...tensor.range, offsetBytes: tensor.range.offsetBytes + from, sizeBytes },
          to: { ...held.range, offsetBytes: held.range.offsetBytes + to, sizeBytes },
        });
      }
    }
    if (copies.length > 0) await this.#stream.copy(copies);
  }

  /**
   * SHA-256 of a tensor's bytes in hexadecimal. Large tensors are hashed in steps, so that other work can run between
   * them.
   *
   * @throws `CE_TENSOR_MISSING`
   */
  async digest(name: string): Promise<string> {
    const tensor = this.#held(name);
    const hash = createHash('sha256');
    for (let at = 0; at < tensor.sizeBytes; at += HASH_STEP_BYTES) {
      if (at > 0) await setImmediate();
      hash.update(tensor.bytes(at, Math.min(HASH_STEP_BYTES, tensor.sizeBytes - at)));
    }
    return hash.digest('hex');
  }

  /** {@link CopyingWorker.digest} of every tensor, by name. */
  async digests(): Promise<Map<string, string>> {
    const digests = new Map<string, string>();
    for (const name of this.#tensors.keys()) digests.set(name, await this.digest(name));
    return digests;
  }

  /** Waits for running copies and frees the memory. Idempotent. */
  async close(): Promise<void> {
    await this.#stream.close();
    await this.#puller?.close();
    for (const home of new Set([...this.#tensors.values()].map((tensor) => tensor.home))) home.close();
    this.#tensors.clear();
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Allocates one block of memory for all tensors that are new or whose sizes have changed. */
  async #makeRoom(
    tensors: readonly CheckpointTensor[],
    kept: readonly (readonly KeptSlice[] | undefined)[],
  ): Promise<void> {
    const places: { readonly tensor: CheckpointTensor; readonly sizeBytes: number; readonly offsetBytes: number }[] =
      [];
    let totalBytes = 0;
    for (const [at, tensor] of tensors.entries()) {
      const slices = kept[at];
      if (slices === undefined) continue;
      const sizeBytes = slices.reduce((sum, { rows, rowBytes }) => sum + rows * rowBytes, 0);
      if (this.#tensors.get(tensor.name)?.sizeBytes === sizeBytes) continue;
      places.push({ tensor, sizeBytes, offsetBytes: totalBytes });
      totalBytes += Math.ceil(sizeBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    }
    if (places.length === 0) return;
    const home = new TensorHome(await this.#device.allocateHost(Math.max(totalBytes, ALIGNMENT_BYTES)));
    for (const { tensor, sizeBytes, offsetBytes } of places) {
      const { name, dtype, shape } = tensor;
      this.#tensors.get(name)?.home.leave();
      this.#tensors.set(name, new HeldTensor(home, offsetBytes, { name, dtype, shape, sizeBytes }));
    }
  }

  /** The slices to keep; `undefined` for a tensor that is not kept. */
  #slicesOf(tensor: CheckpointTensor): readonly KeptSlice[] | undefined {
    return this.#keep === undefined ? wholeOf(tensor) : this.#keep(tensor);
  }

  async #declare(
    tensors: readonly CheckpointTensor[],
    inBuckets: CopyingWorkerOptions['inBuckets'],
  ): Promise<Declaration> {
    const kept = tensors.map((tensor) => this.#slicesOf(tensor));
    await this.#makeRoom(tensors, kept);
    const slices: PulledSlice[] = [];
    const rest: number[] = [];
    for (const [index, tensor] of tensors.entries()) {
      const held = this.#tensors.get(tensor.name);
      if (kept[index] === undefined || held === undefined) continue;
      if (inBuckets?.(tensor) === true) rest.push(index);
      else slices.push(...packed(index, kept[index], held.range));
    }
    return { slices, rest };
  }

  #held(name: string): HeldTensor {
    const held = this.#tensors.get(name);
    if (held) return held;
    throw new CheckpointEngineError(
      'CE_TENSOR_MISSING',
      `The worker does not hold tensor "${name}"; it holds ${this.#tensors.size} tensors`,
      'Check the name, and that an update was received',
      { tensor: name },
    );
  }
}

/** Slices packed one after another. */
function packed(tensor: number, slices: readonly KeptSlice[], { memory, offsetBytes }: MemoryRange): PulledSlice[] {
  let at = offsetBytes;
  return slices.map((slice) => {
    const to = { memory, offsetBytes: at };
    at += slice.rows * slice.rowBytes;
    return { ...slice, tensor, to };
  });
}

/** The location of each row of some slices in its tensor, and in the packed slices. */
function* rowsOf(
  slices: readonly KeptSlice[] = [],
): Generator<{ readonly from: number; readonly to: number; readonly sizeBytes: number }> {
  let to = 0;
  for (const { offsetBytes, rows, rowBytes, pitchBytes } of slices) {
    for (let row = 0; row < rows; row++) {
      yield { from: offsetBytes + row * pitchBytes, to, sizeBytes: rowBytes };
      to += rowBytes;
    }
  }
}

/** Options of {@link copyingWorker}. */
export interface CopyingWorkerOptions {
  /** The caller must close it. */
  readonly device: Device;
  /**
   * Slices of a tensor to keep, packed one after another; `undefined` for none. Pass the worker's `puller` to
   * `receiveUpdate` or `serveWorker`, and they are copied out of the parameter server's memory.
   * @default whole tensors
   */
  readonly keep?: ((tensor: CheckpointTensor) => readonly KeptSlice[] | undefined) | undefined;
  /** Tensors that arrive complete, in buckets. @default none */
  readonly inBuckets?: ((tensor: CheckpointTensor) => boolean) | undefined;
  /** Whether to prove slices before they are pulled, as in `Puller`. @default false */
  readonly prove?: boolean | undefined;
}

/** Creates a {@link CopyingWorker} for one device, which the caller must close. */
export function copyingWorker(options: CopyingWorkerOptions): CopyingWorker {
  return new CopyingWorker(options);
}
