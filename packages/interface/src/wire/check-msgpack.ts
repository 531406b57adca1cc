/** Limits of a message's cost for its reader. */
export interface MsgpackLimits {
  /** Maximum bytes of the message. */
  readonly maxBytes: number;
  /** Deepest nesting of lists and maps; 0 for a message that is one plain value. */
  readonly maxDepth: number;
  /** Maximum number of values of all lists and maps together, including keys. */
  readonly maxValues: number;
  /** Maximum number of lists and maps: each costs far more memory than the byte that starts it. @default `maxValues` */
  readonly maxContainers?: number | undefined;
}

/** A list or map that contains the current position. */
interface Level {
  left: number;
  readonly isMap: boolean;
}

/**
 * Checks that a msgpack message is safe to decode: it is one complete value, stays within the limits, does not announce
 * more items than it contains, has only text as keys, and has no extension types. A decoder allocates the announced
 * size of a list before it reads the items, and lists nest, so a few bytes could cost gigabytes. The check itself
 * allocates no memory that depends on the message.
 *
 * @throws {RangeError} The message breaks one of these rules.
 * @source https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function checkMsgpack(bytes: Uint8Array, limits: MsgpackLimits): void {
  const { maxBytes, maxDepth, maxValues, maxContainers = maxValues } = limits;
  if (bytes.byteLength > maxBytes)
    throw new RangeError(`a message of ${bytes.byteLength} bytes, not at most ${maxBytes}`);
  const levels: Level[] = [];
  let at = 0;
  let values = 0;
  let containers = 0;

  const skip = (sizeBytes: number): void => {
    at += sizeBytes;
  };
  /** Reads an unsigned, big-endian integer of 1, 2 or 4 bytes. */
  const readLength = (sizeBytes: number): number => {
    let value = 0;
    for (const end = at + sizeBytes; at < end; at += 1) value = value * 256 + (bytes[at] ?? 0);
    return value;
  };
  const enter = (left: number, isMap: boolean): void => {
    containers += 1;
    values += left;
    if (levels.length >= maxDepth) throw new RangeError(`lists and maps nested deeper than ${maxDepth}`);
    if (containers > maxContainers) throw new RangeError(`more than ${maxContainers} lists and maps`);
    if (values > maxValues) throw new RangeError(`more than ${maxValues} values`);
    if (left > bytes.byteLength - at) throw new RangeError('a list or map longer than its message');
    if (left > 0) levels.push({ left, isMap });
  };

  /** Skips one value, or enters it if it is a list or map. */
  const take = (isKey: boolean): void => {
    const head = bytes[at] ?? 0xc1;
    at += 1;
    const isText = (head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb);
    if (isKey && !isText) throw new RangeError('a map with a key that is not text');
    if (head < 0x80 || head >= 0xe0) return;
    if (head < 0x90) enter(2 * (head & 0x0f), true);
    else if (head < 0xa0) enter(head & 0x0f, false);
    else if (head < 0xc0) skip(head & 0x1f);
    else if (head === 0xc1) throw new RangeError('a message that is not msgpack, or is cut off');
    else if (head < 0xc4) return;
    else if (head <= 0xc6) skip(readLength(1 << (head - 0xc4)));
    else if (head <= 0xc9 || (head >= 0xd4 && head <= 0xd8)) throw new RangeError('an extension type');
    else if (head <= 0xcb) skip(head === 0xca ? 4 : 8);
    else if (head <= 0xcf) skip(1 << (head - 0xcc));
    else if (head <= 0xd3) skip(1 << (head - 0xd0));
    else if (head <= 0xdb) skip(readLength(1 << (head - 0xd9)));
    else if (head <= 0xdd) enter(readLength(head === 0xdc ? 2 : 4), false);
    else enter(2 * readLength(head === 0xde ? 2 : 4), true);
    if (at > bytes.byteLength) throw new RangeError('a value longer than its message');
  };

  take(false);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    if (level.left === 0) {
      levels.pop();
      continue;
    }
    const isKey = level.isMap && level.left % 2 === 0;
    level.left -= 1;
    take(isKey);
  }
  if (at !== bytes.byteLength) throw new RangeError('bytes after the value');
}
