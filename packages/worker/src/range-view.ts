import { detachView } from '@checkpoint-engine/device';
import { CheckpointEngineError, type HostMemory, isHostMemory, type Memory } from '@checkpoint-engine/interface';

/** Maximum size of one view. */
const LARGEST_VIEW_BYTES = 2 ** 31;

/**
 * A range of memory whose pieces are handed out and invalidated together: {@link RangeView.close} empties all pieces.
 * Pieces are cut from one view if the range allows it, because a view costs more than a piece.
 */
export class RangeView {
  readonly #memory: Memory;
  readonly #offsetBytes: number;
  readonly #sizeBytes: number;
  readonly #views: Uint8Array[] = [];
  #whole: Uint8Array | undefined;
  #isClosed = false;

  constructor(memory: Memory, offsetBytes: number, sizeBytes: number) {
    this.#memory = memory;
    this.#offsetBytes = offsetBytes;
    this.#sizeBytes = sizeBytes;
  }

  /** @throws `CE_CLOSED` */
  get memory(): Memory {
    if (this.#isClosed) throw given();
    return this.#memory;
  }

  /**
   * A piece, by its place in the memory.
   *
   * @throws `CE_CLOSED`, `CE_NOT_SUPPORTED`.
   */
  bytes(offsetBytes: number, sizeBytes: number): Uint8Array {
    const { memory } = this;
    if (sizeBytes === 0) return new Uint8Array(0);
    if (!isHostMemory(memory)) throw invisible('it is on a GPU');
    if (sizeBytes > LARGEST_VIEW_BYTES)
      throw invisible(`it has ${sizeBytes} bytes, a view at most ${LARGEST_VIEW_BYTES}`);
    if (this.#sizeBytes > LARGEST_VIEW_BYTES) return this.#open(memory, offsetBytes, sizeBytes);
    this.#whole ??= this.#open(memory, this.#offsetBytes, this.#sizeBytes);
    const start = offsetBytes - this.#offsetBytes;
    return this.#whole.subarray(start, start + sizeBytes);
  }

  /** Empties all pieces. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#whole = undefined;
    for (const view of this.#views.splice(0)) detachView(view);
  }

  #open(memory: HostMemory, offsetBytes: number, sizeBytes: number): Uint8Array {
    const view = memory.view(offsetBytes, sizeBytes);
    this.#views.push(view);
    return view;
  }
}

function given(): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CLOSED',
    'its memory was released',
    'Copy what you need before you read the next tensor or the callback settles',
  );
}

function invisible(why: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `JavaScript cannot access the memory: ${why}`,
    'Copy its range with a stream of the device',
  );
}
