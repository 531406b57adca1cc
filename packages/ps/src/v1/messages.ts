import { torchType } from '@checkpoint-engine/meta';
import type { BucketTensor } from '../session.ts';
import { PickleWriter } from './pickle-writer.ts';

/** Size of a CUDA IPC memory handle. Without a version byte in front, every release of torch accepts it. */
export const CUDA_HANDLE_BYTES = 64;

// torch counts the buffer's users in a shared-memory file. The count is not needed here, and for a name without a file
// torch only prints a warning.
const NO_REFERENCE_COUNTER = new TextEncoder().encode('/torch_checkpoint_engine_uncounted');
const NO_EVENT = new Uint8Array(0);

/** The tuple that opens the shared buffer as a `uint8` tensor, as torch's own `reduce_tensor` returns it. */
export function encodeBuffer(handle: Uint8Array, sizeBytes: number): Uint8Array {
  const pickle = new PickleWriter();
  pickle.tuple(() => {
    pickle.global('torch.multiprocessing.reductions', 'rebuild_cuda_tensor');
    pickle.tuple(() => {
      pickle.global('torch', 'Tensor');
      writeShape(pickle, [sizeBytes]);
      pickle.tuple(() => pickle.integer(1)); // stride
      pickle.integer(0); // tensor offset
      pickle.global('torch.storage', 'TypedStorage');
      pickle.global('torch', 'uint8');
      pickle.integer(0); // device index: the worker substitutes its own
      pickle.bytes(handle);
      pickle.integer(sizeBytes);
      pickle.integer(0); // offset of the storage in the allocation
      pickle.boolean(false); // requires_grad
      pickle.bytes(NO_REFERENCE_COUNTER);
      pickle.integer(0);
      pickle.bytes(NO_EVENT);
      pickle.boolean(false); // event_sync_required: copies are done before a bucket is announced
    });
  });
  return pickle.finish();
}

/**
 * Encodes the list of dicts that announces a bucket.
 *
 * @throws `CE_DTYPE_UNKNOWN`, like {@link torchType}.
 */
export function encodeBucket(tensors: readonly BucketTensor[]): Uint8Array {
  const pickle = new PickleWriter(64 + tensors.length * 128);
  const key = (name: string): void => pickle.once(name, () => pickle.text(name));
  pickle.list(() => {
    for (const tensor of tensors) {
      const { dtype, shape } = torchType(tensor);
      pickle.dict(() => {
        key('name');
        pickle.text(tensor.name);
        key('dtype');
        pickle.global('torch', dtype);
        key('shape');
        writeShape(pickle, shape);
        key('offset');
        pickle.integer(tensor.offsetBytes);
      });
    }
  });
  return pickle.finish();
}

/** The `None` that ends a phase: the first releases the buffer, the second runs the post-load hook. */
export function encodeNone(): Uint8Array {
  const pickle = new PickleWriter(4);
  pickle.none();
  return pickle.finish();
}

/** The exception that makes a worker abort. */
export function encodeError(text: string): Uint8Array {
  const pickle = new PickleWriter(64 + text.length * 3);
  pickle.call('builtins', 'RuntimeError', () => pickle.text(text));
  return pickle.finish();
}

function writeShape(pickle: PickleWriter, shape: readonly number[]): void {
  pickle.once(`shape ${shape.join()}`, () => {
    pickle.call('torch', 'Size', () => {
      pickle.tuple(() => {
        for (const length of shape) pickle.integer(length);
      });
    });
  });
}
