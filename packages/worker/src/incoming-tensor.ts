import { CheckpointEngineError, type MemoryRange } from '@checkpoint-engine/interface';
import type { RangeView } from './range-view.ts';
import { serverBroke } from './server-message.ts';
import { type TypedArray, viewAs } from './typed-array.ts';

/**
 * One tensor of an update, in the buffer that the parameter server shares.
 *
 * It is valid until its bucket is released: when the iteration moves on to a tensor of the next bucket (or ends), or
 * when the callback of `forEachBucket` settles. From then on the getters throw `CE_CLOSED`, and earlier views are
 * empty: they never show the bytes of another bucket.
 */
export class IncomingTensor {
  readonly name: string;
  /** The name in safetensors: `F32`, `BF16`, `F8_E4M3`. */
  readonly dtype: string;
  /** `[]` for a scalar. */
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  readonly #offsetBytes: number;
  readonly #view: RangeView;

  /** @internal */
  constructor(
    view: RangeView,
    fields: { name: string; dtype: string; shape: readonly number[]; offsetBytes: number; sizeBytes: number },
  ) {
    this.#view = view;
    this.name = fields.name;
    this.dtype = fields.dtype;
    this.shape = fields.shape;
    this.sizeBytes = fields.sizeBytes;
    this.#offsetBytes = fields.offsetBytes;
  }

  /** The tensor's memory, for copies on a stream of the device. @throws `CE_CLOSED` */
  get range(): MemoryRange {
    return { memory: this.#view.memory, offsetBytes: this.#offsetBytes, sizeBytes: this.sizeBytes };
  }

  /**
   * The tensor's bytes, without a copy.
   *
   * @throws `CE_CLOSED`, and `CE_NOT_SUPPORTED` if JavaScript cannot access the memory: on a GPU, and beyond 2 GiB.
   */
  get bytes(): Uint8Array {
    try {
      return this.#view.bytes(this.#offsetBytes, this.sizeBytes);
    } catch (error) {
      if (!CheckpointEngineError.isInstance(error)) throw error;
      throw new CheckpointEngineError(error.code, `Cannot view tensor "${this.name}": ${error.message}`, error.hint, {
        tensor: this.name,
      });
    }
  }

  /**
   * The tensor's elements, without a copy: `Float32Array` for `F32`, `BigInt64Array` for `I64`, and so on. Dtypes
   * without a JavaScript array (`BF16`, `F16`, `F8_*`, `BOOL`) stay bytes.
   *
   * @throws The errors of {@link IncomingTensor.bytes}, and `CE_WORKER_PROTOCOL` if the server did not align the
   * tensor.
   */
  toTypedArray(): TypedArray {
    const { bytes } = this;
    try {
      return viewAs(this.dtype, bytes);
    } catch (error) {
      const where = `${this.sizeBytes} bytes at offset ${this.#offsetBytes}`;
      throw serverBroke(`tensor "${this.name}" of ${this.dtype}, which are not aligned: ${where}`, undefined, error);
    }
  }
}
