import { invalidMetas } from './metas-error.ts';

/** Reads the bytes that {@link ByteWriter} wrote, without trusting them. Every fault is `CE_METAS_INVALID`. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** @param what Names the bytes in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  natural(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw invalidMetas(`${this.#what} ends within a number`);
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw invalidMetas(`${this.#what} has a number above 2^53`);
      if (byte < 0x80) return value;
    }
  }

  /**
   * Reads a count of items that take at least one byte each. The check bounds the allocation that a count can cause.
   */
  count(): number {
    const count = this.natural();
    if (count > this.left) throw invalidMetas(`${this.#what} announces ${count} items but has ${this.left} bytes left`);
    return count;
  }

  /** Reads an index into `table` and returns the item at that index. */
  item<T>(table: readonly T[]): T {
    const index = this.natural();
    if (index >= table.length) {
      throw invalidMetas(`${this.#what} names item ${index} of a table of ${table.length}`);
    }
    return table[index]!;
  }

  bytes(count: number): Uint8Array {
    if (count > this.left) throw invalidMetas(`${this.#what} has ${this.left} bytes left, expected ${count}`);
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  end(): void {
    if (this.left > 0) throw invalidMetas(`${this.#what} has ${this.left} bytes too many`);
  }
}
