import type { Copy, Memory, Stream } from '@checkpoint-engine/interface';
import { awaitNative } from '@checkpoint-engine/native-kit';
import { DeviceMemory, type MemoryOwner } from './device-memory.ts';
import { addon, type NativeMemory, type NativeStream } from './native.ts';

/** A stream of a device of this package. */
export class DeviceStream implements Stream {
  readonly name: string;
  readonly #owner: MemoryOwner;
  readonly #native: NativeStream;

  constructor(owner: MemoryOwner, name: string) {
    if (typeof name !== 'string') throw new TypeError('name must be a string');
    this.name = name;
    this.#owner = owner;
    this.#native = addon().createStream(owner.native);
  }

  copy(copies: readonly Copy[]): Promise<void> {
    return this.#owner.track(
      awaitNative(async () => {
        const { memories, rows } = toCopyTable(copies);
        await addon().copy(this.#native, memories, rows);
      }),
    );
  }

  async close(): Promise<void> {
    addon().closeStream(this.#native);
  }
}

/** Lists each memory once and converts the copies to rows of `from, fromOffset, to, toOffset, size`. */
function toCopyTable(copies: readonly Copy[]): { memories: NativeMemory[]; rows: Float64Array } {
  const places = new Map<Memory, number>();
  const memories: NativeMemory[] = [];
  const placeOf = (memory: Memory): number => {
    let place = places.get(memory);
    if (place === undefined) {
      place = memories.push(DeviceMemory.nativeOf(memory)) - 1;
      places.set(memory, place);
    }
    return place;
  };
  const rows = new Float64Array(copies.length * 5);
  let next = 0;
  for (const { from, to } of copies) {
    if (from.sizeBytes !== to.sizeBytes) {
      throw new RangeError(`A copy needs ranges of equal size, got ${from.sizeBytes} and ${to.sizeBytes} bytes`);
    }
    rows[next++] = placeOf(from.memory);
    rows[next++] = from.offsetBytes;
    rows[next++] = placeOf(to.memory);
    rows[next++] = to.offsetBytes;
    rows[next++] = from.sizeBytes;
  }
  return { memories, rows };
}
