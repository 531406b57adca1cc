/** Most lists and maps of one message: a bucket has one for each tensor, and a few. */
const MOST_CONTAINERS = 600_000;

/**
 * Walks over msgpack without decoding it and fails when its lists and maps promise more values than there are bytes, or
 * are too many: a decoder allocates what a list promises before it has read it, once for every list inside a list.
 *
 * @throws {RangeError} The bytes are not one msgpack value.
 * @source https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function assertHonestLengths(bytes: Uint8Array): void {
  let at = 0;
  /** Values that are still to come. */
  let promised = 1;
  let containers = 0;
  const skip = (sizeBytes: number): void => {
    at += sizeBytes;
  };
  /** An unsigned integer of 1, 2 or 4 bytes, big-endian. */
  const length = (sizeBytes: number): number => {
    let value = 0;
    for (const end = at + sizeBytes; at < end; at += 1) value = value * 256 + (bytes[at] ?? 0);
    return value;
  };
  const contain = (values: number): void => {
    containers += 1;
    promised += values;
  };
  while (promised > 0) {
    promised -= 1;
    const head = bytes[at] ?? 0;
    at += 1;
    if (head < 0x80 || head >= 0xe0) continue;
    if (head < 0x90) contain(2 * (head & 0x0f));
    else if (head < 0xa0) contain(head & 0x0f);
    else if (head < 0xc0) skip(head & 0x1f);
    else if (head < 0xc4) continue;
    else if (head <= 0xc6) skip(length(1 << (head - 0xc4)));
    else if (head <= 0xc9) skip(length(1 << (head - 0xc7)) + 1);
    else if (head <= 0xcb) skip(head === 0xca ? 4 : 8);
    else if (head <= 0xcf) skip(1 << (head - 0xcc));
    else if (head <= 0xd3) skip(1 << (head - 0xd0));
    else if (head <= 0xd8) skip((1 << (head - 0xd4)) + 1);
    else if (head <= 0xdb) skip(length(1 << (head - 0xd9)));
    else if (head <= 0xdd) contain(length(head === 0xdc ? 2 : 4));
    else contain(2 * length(head === 0xde ? 2 : 4));
    if (promised > bytes.byteLength - at || containers > MOST_CONTAINERS) {
      throw new RangeError('a list or text longer than the frame');
    }
  }
  if (at !== bytes.byteLength) throw new RangeError('bytes after the value');
}
