/** Maximum size of a value's piece in one wire message: what arrives between two heartbeats on a slow network. */
export const PIECE_BYTES: number = 512 * 2 ** 10;
/** Smaller values are copied together. Larger ones are sent from, and received into, their own memory. */
const SMALL_BYTES = 64 * 2 ** 10;
/** The memory for an announced value at first. It doubles whenever it is full. */
const FIRST_BYTES = 32 * 2 ** 20;
/** Maximum size of a value. */
export const MAX_VALUE_BYTES: number = 2 ** 30;

/** Values in transfer: their sizes, and pieces whose concatenation is that of the values. */
export interface Payload {
  readonly sizes: readonly number[];
  readonly pieces: readonly Uint8Array[];
}

export const EMPTY_PAYLOAD: Payload = { sizes: [], pieces: [] };

/** Divides values into pieces of at most {@link PIECE_BYTES}. A large value is not copied and shares no piece. */
export function toPayload(values: readonly Uint8Array[]): Payload {
  const pieces: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  let smallBytes = 0;
  const flush = (): void => {
    if (smallBytes > 0) pieces.push(concat(small, smallBytes));
    small = [];
    smallBytes = 0;
  };
  for (const value of values) {
    if (value.byteLength >= SMALL_BYTES) {
      flush();
      for (let at = 0; at < value.byteLength; at += PIECE_BYTES) pieces.push(value.subarray(at, at + PIECE_BYTES));
      continue;
    }
    if (smallBytes + value.byteLength > PIECE_BYTES) flush();
    small.push(value);
    smallBytes += value.byteLength;
  }
  flush();
  return { sizes: values.map((value) => value.byteLength), pieces };
}

function concat(parts: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const all = new Uint8Array(sizeBytes);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

/**
 * Assembles values from their pieces, and spreads the copying over the arrivals. It holds about as much memory as has
 * arrived, never the amount that a size promises.
 */
export class PayloadReader {
  readonly values: Uint8Array[] = [];
  readonly #sizes: readonly number[];
  #target: Uint8Array | undefined;
  #filled = 0;

  /** @throws {RangeError} A size is not valid for a value. */
  constructor(sizes: readonly unknown[]) {
    if (!sizes.every(isSize)) throw new RangeError('The size of a value is invalid');
    this.#sizes = sizes;
    this.push(new Uint8Array(0));
  }

  get complete(): boolean {
    return this.values.length === this.#sizes.length;
  }

  /** @throws {RangeError} More bytes than the sizes add up to. */
  push(piece: Uint8Array): void {
    let at = 0;
    while (!this.complete) {
      const sizeBytes = this.#sizes[this.values.length]!;
      const left = piece.byteLength - at;
      if (this.#target === undefined && left >= sizeBytes) {
        const value = piece.subarray(at, at + sizeBytes);
        // A small value does not keep its piece alive.
        this.values.push(sizeBytes < SMALL_BYTES ? value.slice() : value);
        at += sizeBytes;
        continue;
      }
      if (left === 0) return;
      const part = piece.subarray(at, at + sizeBytes - this.#filled);
      this.#makeRoom(this.#filled + part.byteLength, sizeBytes);
      this.#target!.set(part, this.#filled);
      this.#filled += part.byteLength;
      at += part.byteLength;
      if (this.#filled < sizeBytes) return;
      this.values.push(this.#target!);
      this.#target = undefined;
      this.#filled = 0;
    }
    if (at < piece.byteLength) throw new RangeError('There are more bytes than announced');
  }

  /** Makes `#target` hold `neededBytes` at least, of a value of `sizeBytes`. */
  #makeRoom(neededBytes: number, sizeBytes: number): void {
    const roomBytes = this.#target?.byteLength ?? 0;
    if (this.#target !== undefined && roomBytes >= neededBytes) return;
    const grown = new Uint8Array(Math.min(sizeBytes, Math.max(FIRST_BYTES, 2 * roomBytes, neededBytes)));
    if (this.#target !== undefined) grown.set(this.#target.subarray(0, this.#filled));
    this.#target = grown;
  }
}

const isSize = (size: unknown): size is number =>
  Number.isSafeInteger(size) && (size as number) >= 0 && (size as number) <= MAX_VALUE_BYTES;
