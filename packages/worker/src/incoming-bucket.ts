import type { Memory, ServerBucket } from '@checkpoint-engine/interface';
import { IncomingTensor } from './incoming-tensor.ts';
import { RangeView } from './range-view.ts';
import { serverBroke } from './server-message.ts';

/** A bucket in the shared buffer, until it is released. */
export class IncomingBucket {
  readonly index: number;
  readonly tensors: readonly IncomingTensor[];
  readonly #view: RangeView;

  /** @throws `CE_WORKER_PROTOCOL` A tensor is not inside the buffer. */
  constructor(memory: Memory, { index, tensors }: ServerBucket) {
    this.index = index;
    const { names, dtypes, shapes, offsets, sizes } = tensors;
    const ends = offsets.map((offsetBytes, at) => offsetBytes + sizes[at]!);
    const outside = ends.findIndex((endBytes) => endBytes > memory.sizeBytes);
    if (outside >= 0) {
      throw serverBroke(
        `tensor "${names[outside]}" ending at byte ${ends[outside]} of a buffer of ${memory.sizeBytes} bytes`,
      );
    }
    const startBytes = offsets.reduce((least, offsetBytes) => Math.min(least, offsetBytes), memory.sizeBytes);
    const endBytes = ends.reduce((most, end) => Math.max(most, end), startBytes);
    const view = new RangeView(memory, startBytes, endBytes - startBytes);
    this.#view = view;
    this.tensors = names.map(
      (name, at) =>
        new IncomingTensor(view, {
          name,
          dtype: dtypes[at]!,
          shape: shapes[at]!,
          offsetBytes: offsets[at]!,
          sizeBytes: sizes[at]!,
        }),
    );
  }

  /** Invalidates its tensors and every view of them. Idempotent. */
  close(): void {
    this.#view.close();
  }
}
