/** Most bytes of a value in one wire message: what arrives between two signs of life on a slow network. */
export const PIECE_BYTES: number = 512 * 2 ** 10;
/** Values below this are copied together, larger ones are sent from, and received into, where they are. */
const SMALL_BYTES = 64 * 2 ** 10;
/** A value that is announced gets at most this much memory at first, and twice as much whenever that is full. */
const FIRST_BYTES = 32 * 2 ** 20;
/** Largest value that the store takes. */
export const MAX_VALUE_BYTES: number = 2 ** 30;

/** Values as they travel: their sizes, and pieces whose concatenation is that of the values. */
export interface Payload {
  readonly sizes: readonly number[];
  readonly pieces: readonly Uint8Array[];
}

export const EMPTY_PAYLOAD: Payload = { sizes: [], pieces: [] };

/** Cuts values into pieces of at most {@link PIECE_BYTES}; a large value is not copied and shares no piece. */
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
 * Puts values together again as their pieces arrive; the copying is spread over the arrivals. It holds about what has
 * arrived, never what a size promises.
 */
export class PayloadReader {
  readonly values: Uint8Array[] = [];
  readonly #sizes: readonly number[];
  #target: Uint8Array | undefined;
  #filled = 0;

  /** @throws {RangeError} A size that no value has. */
  constructor(sizes: readonly unknown[]) {
    if (!sizes.every(isSize)) throw new RangeError('A value has a size that no value has');
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
        // A small value does not keep the piece that it came in alive.
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
    if (at < piece.byteLength) throw new RangeError('More bytes than announced');
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
