/**
 * A running 64-bit digest of numbers and strings. Two 32-bit lanes mix every word differently, which is
 * fast in every JavaScript engine and gives the same result in all of them. It detects accidents, not attacks.
 */
export class Digest {
  #high = 0x6a09e667;
  #low = 0xbb67ae85 | 0;

  /** Adds an integer from 0 to 2^53 - 1. */
  addNumber(value: number): void {
    this.#addWord(value | 0);
    this.#addWord((value / 2 ** 32) | 0);
  }

  /** Adds a string by its UTF-16 units, two per word. */
  addString(value: string): void {
    const { length } = value;
    this.#addWord(length);
    for (let i = 0; i < length; i += 2) {
      // After the end charCodeAt returns NaN, which shifts to 0.
      this.#addWord(value.charCodeAt(i) | (value.charCodeAt(i + 1) << 16));
    }
  }

  /** The digest of the data added up to now, as 16 hexadecimal digits. */
  toHex(): string {
    return hex(finish(this.#high)) + hex(finish(this.#low));
  }

  #addWord(word: number): void {
    const high = this.#high ^ word;
    const low = (this.#low + word) | 0;
    this.#high = Math.imul((high << 15) | (high >>> 17), 0x9e3779b1);
    this.#low = Math.imul((low << 11) | (low >>> 21), 0x85ebca77) ^ this.#high;
  }
}

/** Spreads every bit of a lane over all of its bits. */
function finish(lane: number): number {
  let bits = lane;
  bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
  bits = Math.imul(bits ^ (bits >>> 12), 0x297a2d39);
  return bits ^ (bits >>> 15);
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
