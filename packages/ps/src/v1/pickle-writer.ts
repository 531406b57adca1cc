const OP = {
  proto: 0x80,
  stop: 0x2e,
  mark: 0x28,
  none: 0x4e,
  true: 0x88,
  false: 0x89,
  int1: 0x4b,
  int2: 0x4d,
  int4: 0x4a,
  long1: 0x8a,
  shortBytes: 0x43,
  bytes: 0x42,
  shortText: 0x8c,
  text: 0x58,
  global: 0x63,
  emptyList: 0x5d,
  appends: 0x65,
  emptyDict: 0x7d,
  setItems: 0x75,
  tuple: 0x74,
  reduce: 0x52,
  memoize: 0x94,
  get: 0x68,
  longGet: 0x6a,
} as const;

/**
 * Writes one Python pickle (protocol 4, readable by Python 3.4 and newer), value by value.
 *
 * Values are written in the order in which Python's stack machine reads them: containers take a callback that writes
 * their items. This class only writes: this project never reads pickles.
 *
 * @source https://docs.python.org/3/library/pickletools.html and PEP 3154; differs: only the values below, a memo only for
 *         values with a key, no frames
 */
export class PickleWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #size = 0;
  #memo = new Map<string, number>();

  /** @param capacityBytes Expected size; it grows as needed. */
  constructor(capacityBytes: number = 1024) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#byte(OP.proto);
    this.#byte(4);
  }

  none(): void {
    this.#byte(OP.none);
  }

  boolean(value: boolean): void {
    this.#byte(value ? OP.true : OP.false);
  }

  /** @throws {RangeError} The number is not a safe integer. Pass a bigint then. */
  integer(value: number | bigint): void {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw new RangeError(`A pickled integer must be exact, got: ${value}`);
    }
    if (value >= 0 && value < 2 ** 16) {
      const small = Number(value);
      this.#byte(small < 2 ** 8 ? OP.int1 : OP.int2);
      this.#byte(small & 0xff);
      if (small >= 2 ** 8) this.#byte(small >> 8);
    } else if (value >= -(2 ** 31) && value < 2 ** 31) {
      this.#byte(OP.int4);
      this.#uint32(Number(value) >>> 0);
    } else {
      const digits = twosComplement(BigInt(value));
      this.#byte(OP.long1);
      this.#byte(digits.length);
      for (const digit of digits) this.#byte(digit);
    }
  }

  /** A `str`. Surrogates without a partner are kept, as Python keeps them. */
  text(value: string): void {
    const maxBytes = value.length * 3;
    const isShort = maxBytes < 256;
    this.#reserve(maxBytes + 5);
    const start = this.#size + (isShort ? 2 : 5);
    const end = encodeText(value, this.#bytes, start);
    this.#byte(isShort ? OP.shortText : OP.text);
    if (isShort) this.#byte(end - start);
    else this.#uint32(end - start);
    this.#size = end;
  }

  bytes(value: Uint8Array): void {
    if (value.length < 256) {
      this.#byte(OP.shortBytes);
      this.#byte(value.length);
    } else {
      this.#byte(OP.bytes);
      this.#uint32(value.length);
    }
    this.#reserve(value.length);
    this.#bytes.set(value, this.#size);
    this.#size += value.length;
  }

  /** A class or function by its module and name, both ASCII; written once, referred to afterwards. */
  global(module: string, name: string): void {
    this.once(`global ${module} ${name}`, () => {
      this.#byte(OP.global);
      for (const line of [`${module}\n`, `${name}\n`]) {
        this.#reserve(line.length * 3);
        this.#size = encodeText(line, this.#bytes, this.#size);
      }
    });
  }

  list(writeItems: () => void): void {
    this.#byte(OP.emptyList);
    this.#byte(OP.mark);
    writeItems();
    this.#byte(OP.appends);
  }

  /** @param writeItems Writes key, value, key, value. */
  dict(writeItems: () => void): void {
    this.#byte(OP.emptyDict);
    this.#byte(OP.mark);
    writeItems();
    this.#byte(OP.setItems);
  }

  tuple(writeItems: () => void): void {
    this.#byte(OP.mark);
    writeItems();
    this.#byte(OP.tuple);
  }

  /** The result of the call `module.name(*args)`. */
  call(module: string, name: string, writeArgs: () => void): void {
    this.global(module, name);
    this.tuple(writeArgs);
    this.#byte(OP.reduce);
  }

  /** Writes a value the first time for a `key`, and a reference to it from then on, so that the reader shares it. */
  once(key: string, write: () => void): void {
    const index = this.#memo.get(key);
    if (index === undefined) {
      write();
      this.#memo.set(key, this.#memo.size);
      this.#byte(OP.memoize);
    } else if (index < 256) {
      this.#byte(OP.get);
      this.#byte(index);
    } else {
      this.#byte(OP.longGet);
      this.#uint32(index);
    }
  }

  /** Ends the pickle. Do not use the writer afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#byte(OP.stop);
    return this.#bytes.subarray(0, this.#size);
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#size++] = value;
  }

  #uint32(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.#byte((value >>> shift) & 0xff);
  }

  #reserve(moreBytes: number): void {
    const wanted = this.#size + moreBytes;
    if (wanted <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = grown;
  }
}

/**
 * UTF-8 that keeps lone surrogates as three bytes each (Python's `surrogatepass`). Returns the offset after the text.
 */
function encodeText(text: string, target: Uint8Array, offset: number): number {
  let at = offset;
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i)!;
    if (code < 0x80) {
      target[at++] = code;
      continue;
    }
    if (code < 0x800) {
      target[at++] = 0xc0 | (code >> 6);
    } else {
      if (code < 0x10000) {
        target[at++] = 0xe0 | (code >> 12);
      } else {
        target[at++] = 0xf0 | (code >> 18);
        target[at++] = 0x80 | ((code >> 12) & 0x3f);
        i++;
      }
      target[at++] = 0x80 | ((code >> 6) & 0x3f);
    }
    target[at++] = 0x80 | (code & 0x3f);
  }
  return at;
}

/** Little-endian, as short as the sign allows. */
function twosComplement(value: bigint): number[] {
  const digits: number[] = [];
  let rest = value;
  for (;;) {
    const digit = Number(rest & 0xffn);
    digits.push(digit);
    rest >>= 8n;
    if ((rest === 0n && digit < 0x80) || (rest === -1n && digit >= 0x80)) return digits;
  }
}
