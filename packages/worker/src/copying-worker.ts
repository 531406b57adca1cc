import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { CheckpointEngineError, type Copy, type Device, type Stream } from '@checkpoint-engine/interface';
import { HeldTensor, TensorHome } from './held-tensor.ts';
import type { IncomingTensor } from './incoming-tensor.ts';
import type { IncomingUpdate } from './incoming-update.ts';

const ALIGNMENT_BYTES = 256;
/** Bytes that are hashed before other work gets a turn. */
const HASH_STEP_BYTES = 8 * 1024 * 1024;

/**
 * Holds a copy of every tensor in host memory of its own: a stand-in for an engine's model in demos and tests, and the
 * pattern for real ones. Memory is allocated when a tensor is first seen and reused afterwards; a stream of the device
 * copies, so the JS thread never blocks.
 */
export class CopyingWorker implements AsyncDisposable {
  readonly #device: Device;
  readonly #stream: Stream;
  readonly #tensors = new Map<string, HeldTensor>();

  /** @internal */
  constructor(device: Device) {
    this.#device = device;
    this.#stream = device.createStream('copying-worker');
  }

  /** What is held, by name. */
  get tensors(): ReadonlyMap<string, HeldTensor> {
    return this.#tensors;
  }

  /** Receives a whole update; fits `serveWorker` as it is: `onUpdate: worker.receive`. */
  readonly receive = async (update: IncomingUpdate): Promise<void> => {
    await update.forEachBucket((tensors) => this.copyBucket(tensors));
    await update.finished();
  };

  /** Copies the tensors of one bucket, for callers that drive the update themselves. */
  async copyBucket(tensors: readonly IncomingTensor[]): Promise<void> {
    await this.#makeRoom(tensors.filter(({ name, sizeBytes }) => this.#tensors.get(name)?.sizeBytes !== sizeBytes));
    const copies: Copy[] = [];
    for (const tensor of tensors) {
      const held = this.#held(tensor.name);
      held.dtype = tensor.dtype;
      held.shape = tensor.shape;
      if (tensor.sizeBytes > 0) copies.push({ from: tensor.range, to: held.range });
    }
    if (copies.length > 0) await this.#stream.copy(copies);
  }

  /**
   * SHA-256 of a tensor's bytes, hexadecimal. Large tensors are hashed in steps between which other work goes on.
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

  /** Waits for copies that run, and frees the memory. Idempotent. */
  async close(): Promise<void> {
    await this.#stream.close();
    for (const home of new Set([...this.#tensors.values()].map((tensor) => tensor.home))) home.close();
    this.#tensors.clear();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Allocates one piece of memory for all tensors that are new, or of another size than before. */
  async #makeRoom(tensors: readonly IncomingTensor[]): Promise<void> {
    if (tensors.length === 0) return;
    const offsets: number[] = [];
    let totalBytes = 0;
    for (const { sizeBytes } of tensors) {
      offsets.push(totalBytes);
      totalBytes += Math.ceil(sizeBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    }
    const home = new TensorHome(await this.#device.allocateHost(Math.max(totalBytes, ALIGNMENT_BYTES)));
    for (const [at, tensor] of tensors.entries()) {
      this.#tensors.get(tensor.name)?.home.leave();
      this.#tensors.set(tensor.name, new HeldTensor(home, offsets[at]!, tensor));
    }
  }

  #held(name: string): HeldTensor {
    const held = this.#tensors.get(name);
    if (held) return held;
    throw new CheckpointEngineError(
      'CE_TENSOR_MISSING',
      `The worker holds no tensor "${name}" among its ${this.#tensors.size}`,
      'Check the name, and that an update was received',
      { tensor: name },
    );
  }
}

/** A {@link CopyingWorker} for one device, which stays the caller's. */
export function copyingWorker(options: { readonly device: Device }): CopyingWorker {
  return new CopyingWorker(options.device);
}
