import {
  type Device,
  type HostMemory,
  isHostMemory,
  type MemoryRange,
  type Stream,
} from '@checkpoint-engine/interface';
import type { Cleanup } from '@checkpoint-engine/interface/shared';

/** Maximum size of the parts in which device memory is copied back. */
export const READ_BACK_BYTES: number = 16 * 2 ** 20;

/** A part of a memory. */
export interface PartToRead {
  /** From the start of the memory. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Copies ranges of any memory to memory that this process can read. */
export class ReadBack {
  readonly #device: Device;
  readonly #cleanup: Cleanup;
  #stream: Stream | undefined;
  #scratch: Promise<HostMemory> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param cleanup Frees the allocated memory. */
  constructor(device: Device, cleanup: Cleanup) {
    this.#device = device;
    this.#cleanup = cleanup;
  }

  /**
   * Calls `use` with host memory that has the parts: the memory itself, or a copy of them. Except in host memory, the
   * parts together have at most {@link READ_BACK_BYTES}.
   *
   * @param use    Receives the offset of each part in that memory.
   * @param onRead Called once the memory itself is not read any more.
   */
  async with<T>(
    { memory }: Pick<MemoryRange, 'memory'>,
    parts: readonly PartToRead[],
    use: (memory: HostMemory, offsets: readonly number[]) => Promise<T>,
    onRead: () => void,
  ): Promise<T> {
    if (isHostMemory(memory)) {
      const used = await use(
        memory,
        parts.map(({ offsetBytes }) => offsetBytes),
      );
      onRead();
      return used;
    }
    const run = async (): Promise<T> => {
      const scratch = await this.#takeScratch();
      let end = 0;
      const offsets = parts.map(({ sizeBytes }) => {
        end += sizeBytes;
        return end - sizeBytes;
      });
      await this.#stream!.copy(
        parts.map(({ offsetBytes, sizeBytes }, index) => ({
          from: { memory, offsetBytes, sizeBytes },
          to: { memory: scratch, offsetBytes: offsets[index]!, sizeBytes },
        })),
      );
      onRead();
      return await use(scratch, offsets);
    };
    const running = this.#turn.then(run);
    this.#turn = running.catch(() => {});
    return await running;
  }

  async #takeScratch(): Promise<HostMemory> {
    this.#stream ??= this.#cleanup.use(this.#device.createStream('verify'));
    this.#scratch ??= this.#device.allocateHost(READ_BACK_BYTES).then(async (memory) => {
      this.#cleanup.defer(() => memory.close());
      await memory.pin();
      return memory;
    });
    return await this.#scratch;
  }
}
