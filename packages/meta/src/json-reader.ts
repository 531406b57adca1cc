const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MAX_DEPTH = 128;
const LONE_SURROGATE = /\p{Surrogate}/u;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERAL = /true|false|null/y;

/**
 * Reads JSON by position, strictly: the caller says what it expects, and duplicate keys, which `JSON.parse` hides, are
 * refused. Nothing is built but what the caller keeps.
 */
export class JsonReader {
  readonly #text: string;
  readonly #fail: (what: string) => never;
  #at = 0;
  #depth = 0;

  /** @param fail Throws the caller's error; `what` completes a sentence that names the file. */
  constructor(text: string, fail: (what: string) => never) {
    this.#text = text;
    this.#fail = fail;
  }

  /** Reads an object. `member` is called at each value, with its key, and has to read the value. */
  object(what: string, member: (key: string) => void): void {
    this.#open('{', what);
    if (!this.#take('}')) {
      const keys = new Set<string>();
      do {
        const key = this.string(`a key of ${what}`);
        if (keys.size === keys.add(key).size)
          this.#fail(`${what} has the key ${JSON.stringify(key)} twice, want it once`);
        if (!this.#take(':')) this.#unexpected('":"');
        member(key);
      } while (this.#take(','));
      if (!this.#take('}')) this.#unexpected('"," or "}"');
    }
    this.#depth--;
  }

  /** Reads an array. `item` is called at each value and has to read it. */
  array(what: string, item: (index: number) => void): void {
    this.#open('[', what);
    if (!this.#take(']')) {
      let index = 0;
      do item(index++);
      while (this.#take(','));
      if (!this.#take(']')) this.#unexpected('"," or "]"');
    }
    this.#depth--;
  }

  string(what: string): string {
    const text = this.#text;
    if (!this.#take('"')) this.#mismatch(what, 'a string');
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
    const start = this.#at;
    const token = this.#match(NUMBER);
    const value = token === '' ? Number.NaN : Number(token);
    if (!Number.isSafeInteger(value) || !/^\d+$/.test(token)) {
      this.#at = start;
      this.#mismatch(what, `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
    }
    return value;
  }

  /** Reads any value and gives its text. */
  skip(what: string): string {
    this.#space();
    const start = this.#at;
    const first = this.#text[start];
    if (first === '{') this.object(what, () => void this.skip(what));
    else if (first === '[') this.array(what, () => void this.skip(what));
    else if (first === '"') this.string(what);
    else if (this.#match(NUMBER) === '' && this.#match(LITERAL) === '') this.#unexpected('a value');
    return this.#text.slice(start, this.#at);
  }

  /** Checks that nothing but white space is left. */
  end(): void {
    this.#space();
    if (this.#at < this.#text.length) this.#unexpected('the end');
  }

  #open(bracket: '{' | '[', what: string): void {
    if (!this.#take(bracket)) this.#mismatch(what, bracket === '{' ? 'an object' : 'an array');
    if (++this.#depth > MAX_DEPTH) this.#fail(`the JSON is nested more than ${MAX_DEPTH} deep`);
  }

  #take(token: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== token) return false;
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
      this.#fail(`the string ${excerpt(literal)} has an escape that JSON does not know`);
    }
    if (LONE_SURROGATE.test(value)) this.#fail(`the string ${excerpt(literal)} has half of a surrogate pair`);
    return value;
  }

  /** A value of another kind than wanted, or no JSON at all. */
  #mismatch(what: string, wanted: string): never {
    this.#space();
    const start = this.#at;
    if (start >= this.#text.length) this.#unexpected(wanted);
    this.#fail(`${what} is ${excerpt(this.skip(what))}, want ${wanted}`);
  }

  #unexpected(wanted: string): never {
    const seen = this.#at >= this.#text.length ? 'ends' : `has ${JSON.stringify(this.#text[this.#at])}`;
    this.#fail(`the JSON ${seen} at character ${this.#at}, want ${wanted}`);
  }
}

function excerpt(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
