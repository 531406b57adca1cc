import { KeySet } from './key-set.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const ZERO = 0x30;
const NINE = 0x39;
const MAX_DEPTH = 128;
/** Maximum number of numbers in one array; no framework supports tensors with more dimensions. */
const MAX_NUMBERS = 64;
/**
 * Maximum number of keys of all objects that are open at a time. The reader remembers them, so a limit bounds its
 * memory.
 */
const MAX_KEYS = 1_000_000;
const LONE_SURROGATE = /\p{Surrogate}/u;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERAL = /true|false|null/y;

/**
 * Reads JSON strictly and by position: the caller states what it expects, and the reader rejects duplicate keys, which
 * `JSON.parse` hides. The reader builds only the values that the caller keeps.
 */
export class JsonReader {
  readonly #text: string;
  readonly #fail: (what: string) => never;
  readonly #numbers: number[] = [];
  /** The keys of the open objects, by depth. The reader reuses each set for the next object of that depth. */
  readonly #keys: KeySet[] = [];
  #at = 0;
  #depth = 0;
  #openKeys = 0;

  /** @param fail Throws the caller's error; `what` completes a sentence whose subject is the file. */
  constructor(text: string, fail: (what: string) => never) {
    this.#text = text;
    this.#fail = fail;
  }

  /** Reads an object. The reader calls `member` with the key at each value, and `member` must read the value. */
  object(what: string, member: (key: string) => void): void {
    this.#open(OPEN_BRACE, what);
    if (!this.#take(CLOSE_BRACE)) {
      const keys = this.#keysOfDepth();
      const openKeys = this.#openKeys;
      do {
        if (this.#openKeys++ === MAX_KEYS) this.#fail(`the JSON has more than ${MAX_KEYS} keys, the maximum`);
        const key = this.string('a key');
        if (!keys.add(key)) this.#fail(`${what} has the key ${JSON.stringify(key)} twice, expected it once`);
        if (!this.#take(COLON)) this.#unexpected('":"');
        member(key);
      } while (this.#take(COMMA));
      if (!this.#take(CLOSE_BRACE)) this.#unexpected('"," or "}"');
      this.#openKeys = openKeys;
    }
    this.#depth--;
  }

  /** Reads an array. The reader calls `item` at each value, and `item` must read it. */
  array(what: string, item: () => void): void {
    this.#open(OPEN_BRACKET, what);
    if (!this.#take(CLOSE_BRACKET)) {
      do item();
      while (this.#take(COMMA));
      if (!this.#take(CLOSE_BRACKET)) this.#unexpected('"," or "]"');
    }
    this.#depth--;
  }

  /** Reads `null` if it comes next, and returns whether it did. */
  takeNull(): boolean {
    this.#space();
    if (!this.#text.startsWith('null', this.#at)) return false;
    this.#at += 4;
    return true;
  }

  string(what: string): string {
    const text = this.#text;
    if (!this.#take(QUOTE)) this.#mismatch(what, 'a string');
    const start = this.#at;
    let at = start;
    let code = text.charCodeAt(at);
    let escaped = false;
    while (code !== QUOTE) {
      if (code === BACKSLASH) {
        escaped = true;
        at++;
      } else if (!(code >= 0x20)) {
        this.#at = at;
        this.#unexpected('the rest of a string');
      }
      code = text.charCodeAt(++at);
    }
    this.#at = at + 1;
    return escaped ? this.#unescape(start - 1, at + 1) : text.slice(start, at);
  }

  /** Reads a whole number from 0 to `Number.MAX_SAFE_INTEGER`. */
  natural(what: string): number {
    this.#space();
    const text = this.#text;
    const start = this.#at;
    let at = start;
    let code = text.charCodeAt(at);
    let value = 0;
    while (code >= ZERO && code <= NINE) {
      value = value * 10 + (code - ZERO);
      code = text.charCodeAt(++at);
    }
    const fraction = code === 0x2e || code === 0x45 || code === 0x65;
    const leadingZero = at > start + 1 && text.charCodeAt(start) === ZERO;
    if (at === start || fraction || leadingZero || value > Number.MAX_SAFE_INTEGER) {
      this.#mismatch(what, `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
    }
    this.#at = at;
    return value;
  }

  /** Reads an array of at most 64 whole numbers. `item` names one of them in errors. */
  naturals(what: string, item: string): number[] {
    const numbers = this.#numbers;
    let count = 0;
    this.array(what, () => {
      if (count === MAX_NUMBERS) this.#fail(`${what} has more than ${MAX_NUMBERS} numbers, the maximum`);
      numbers[count++] = this.natural(item);
    });
    // A copy has the exact length, whereas an array that grows by push keeps spare capacity.
    return numbers.slice(0, count);
  }

  /** Reads any value and returns its text. */
  skip(what: string): string {
    this.#space();
    const start = this.#at;
    const first = this.#text.charCodeAt(start);
    if (first === OPEN_BRACE) this.object(what, () => void this.skip(what));
    else if (first === OPEN_BRACKET) this.array(what, () => void this.skip(what));
    else if (first === QUOTE) this.string(what);
    else if (this.#match(NUMBER) === '' && this.#match(LITERAL) === '') this.#unexpected('a value');
    return this.#text.slice(start, this.#at);
  }

  /** Checks that only white space is left. */
  end(): void {
    this.#space();
    if (this.#at < this.#text.length) this.#unexpected('the end');
  }

  #keysOfDepth(): KeySet {
    const keys = this.#keys[this.#depth] ?? new KeySet();
    this.#keys[this.#depth] = keys;
    keys.clear();
    return keys;
  }

  #open(bracket: number, what: string): void {
    if (!this.#take(bracket)) this.#mismatch(what, bracket === OPEN_BRACE ? 'an object' : 'an array');
    if (++this.#depth > MAX_DEPTH) this.#fail(`the JSON is nested more than ${MAX_DEPTH} deep`);
  }

  #take(code: number): boolean {
    this.#space();
    if (this.#text.charCodeAt(this.#at) !== code) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    let code = this.#text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = this.#text.charCodeAt(++this.#at);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const token = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += token.length;
    return token;
  }

  #unescape(from: number, to: number): string {
    const literal = this.#text.slice(from, to);
    let value = '';
    try {
      value = JSON.parse(literal);
    } catch {
      this.#fail(`the string ${excerpt(literal)} has an escape that JSON does not define`);
    }
    if (LONE_SURROGATE.test(value)) this.#fail(`the string ${excerpt(literal)} has a lone surrogate`);
    return value;
  }

  /** Fails because the next value has another type than expected, or is not JSON. */
  #mismatch(what: string, wanted: string): never {
    this.#space();
    const start = this.#at;
    if (start >= this.#text.length) this.#unexpected(wanted);
    this.#fail(`${what} is ${excerpt(this.skip(what))}, expected ${wanted}`);
  }

  #unexpected(wanted: string): never {
    const seen = this.#at >= this.#text.length ? 'ends' : `has ${JSON.stringify(this.#text[this.#at])}`;
    this.#fail(`the JSON ${seen} at character ${this.#at}, expected ${wanted}`);
  }
}

function excerpt(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
