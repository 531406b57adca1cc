import type { HostMemory, MemoryRange } from '@checkpoint-engine/interface';
import { RangeView } from './range-view.ts';

/** Host memory that several tensors share. It is closed when the last of them has left it. */
export class TensorHome {
  readonly memory: HostMemory;
  readonly view: RangeView;
  residents = 0;

  constructor(memory: HostMemory) {
    this.memory = memory;
    this.view = new RangeView(memory, 0, memory.sizeBytes);
  }

  /** Call it when a tensor leaves the memory. */
  leave(): void {
    this.residents -= 1;
    if (this.residents === 0) this.close();
  }

  close(): void {
    this.view.close();
    this.memory.close();
  }
}

/** A tensor that a `CopyingWorker` holds. */
export class HeldTensor {
  readonly name: string;
  readonly sizeBytes: number;
  dtype: string;
  shape: readonly number[];
  /** @internal */
  readonly home: TensorHome;
  readonly #offsetBytes: number;

  /** @internal */
  constructor(
    home: TensorHome,
    offsetBytes: number,
    fields: { name: string; dtype: string; shape: readonly number[]; sizeBytes: number },
  ) {
    this.home = home;
    this.#offsetBytes = offsetBytes;
    this.name = fields.name;
    this.sizeBytes = fields.sizeBytes;
    this.dtype = fields.dtype;
    this.shape = fields.shape;
    home.residents += 1;
  }

  /** The location of its bytes in host memory. It does not change while the size stays the same. */
  get range(): MemoryRange {
    return { memory: this.home.memory, offsetBytes: this.#offsetBytes, sizeBytes: this.sizeBytes };
  }

  /** A part of its bytes, without a copy. Empty after the worker is closed. @default all of them, at most 2 GiB */
  bytes(startBytes = 0, sizeBytes: number = this.sizeBytes - startBytes): Uint8Array {
    return this.home.view.bytes(this.#offsetBytes + startBytes, sizeBytes);
  }
}
