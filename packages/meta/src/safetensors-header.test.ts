import { CheckpointEngineError, type ErrorCode } from '@checkpoint-engine/interface';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DTYPES } from './dtype.ts';
import { encodeSafetensorsHeader, type TensorSpec } from './encode-safetensors-header.ts';
import { parseSafetensorsHeader } from './safetensors-header.ts';
import { tensorBytes } from './tensor-bytes.ts';

/** A header preceded by its length, as in a file. */
function raw(header: string | Uint8Array, length?: bigint): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

function parse(bytes: Uint8Array, dataBytes = 0) {
  return parseSafetensorsHeader(bytes, { path: 'a.safetensors', fileSizeBytes: bytes.length + dataBytes });
}

function failure(act: () => unknown): CheckpointEngineError {
  try {
    act();
  } catch (error) {
    if (CheckpointEngineError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const u8 = (begin: number, end: number, shape: unknown = [end - begin]) =>
  JSON.stringify({ dtype: 'U8', shape, data_offsets: [begin, end] });

describe('parseSafetensorsHeader', () => {
  it('returns tensors by offset, with absolute offsets, and the metadata', () => {
    const header = `{"b":${u8(4, 6)},"__metadata__":{"format":"pt"},"a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"}}   `;
    const bytes = raw(header);
    const file = parse(bytes, 6);
    expect(file).toMatchObject({ path: 'a.safetensors', sizeBytes: bytes.length + 6, dataOffsetBytes: bytes.length });
    expect({ ...file.metadata }).toEqual({ format: 'pt' });
    const common = { path: 'a.safetensors' };
    expect(file.tensors).toEqual([
      { name: 'a', dtype: 'F32', shape: [], sizeBytes: 4, fileOffsetBytes: bytes.length, ...common },
      { name: 'b', dtype: 'U8', shape: [2], sizeBytes: 2, fileOffsetBytes: bytes.length + 4, ...common },
    ]);
  });

  it('accepts names of object properties as names', () => {
    const names = ['__proto__', 'constructor', 'toString', '1', '0', 'é\n"\\', '😀'];
    const members = names.map((name, i) => `${JSON.stringify(name)}:${u8(i, i + 1)}`);
    const file = parse(raw(`{${members.join(',')},"__metadata__":{"__proto__":"x"}}`), names.length);
    expect(file.tensors.map((tensor) => tensor.name)).toEqual(names);
    expect(Object.entries(file.metadata)).toEqual([['__proto__', 'x']]);
    expect('toString' in file.metadata).toBe(false);
  });

  it('reads empty tensors, escapes, white space and unknown fields', () => {
    const entry =
      '{ "dtype" : "U8", "x": [1e3, {"y": null}, -0.5, true, "\\u0041"], "shape":[0 ,5], "data_offsets":[0,0]}';
    const file = parse(raw(`{"\\u0041\\n" :\t${entry},\r\n"b":${u8(0, 1)}}`), 1);
    expect(file.tensors.map((t) => [t.name, t.sizeBytes])).toEqual([
      ['A\n', 0],
      ['b', 1],
    ]);
    expect(parse(raw('{}')).tensors).toEqual([]);
  });

  const entry = (fields: string) => raw(`{"t":{${fields}}}`);
  const a = `"a":${u8(0, 4)}`;
  it.each<[string, Uint8Array, number, ErrorCode, RegExp, string?]>([
    ['no bytes', new Uint8Array(0), 0, 'CE_FILE_TRUNCATED', /has 0 bytes, expected at least the 8/],
    ['7 bytes', new Uint8Array(7), 0, 'CE_FILE_TRUNCATED', /has 7 bytes/],
    [
      'a length above 100 MB',
      raw('{}', 100_000_001n),
      2e8,
      'CE_FILE_INVALID',
      /100000001 bytes, expected at most 100000000/,
    ],
    ['a length of 2^64 - 1', raw('{}', 2n ** 64n - 1n), 0, 'CE_FILE_INVALID', /18446744073709551615 bytes/],
    ['a header past the end', raw('{}', 3n), 0, 'CE_FILE_TRUNCATED', /header ends at byte 11, but the file has 10/],
    ['too few bytes', raw('{}', 3n), 1, 'CE_FILE_TRUNCATED', /10 bytes were read, expected the 11/],
    ['an empty header', raw(''), 0, 'CE_FILE_INVALID', /header is empty/],
    ['a space in front', raw(' {}'), 0, 'CE_FILE_INVALID', /starts with byte 0x20, expected "{"/],
    ['a byte order mark', raw('\ufeff{}'), 0, 'CE_FILE_INVALID', /starts with byte 0xef/],
    ['no UTF-8', raw(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), 0, 'CE_FILE_INVALID', /not UTF-8/],
    ['an end too early', raw('{'), 0, 'CE_FILE_INVALID', /ends at character 1, expected a string/],
    ['an open string', raw('{"a'), 0, 'CE_FILE_INVALID', /ends at character 3/],
    ['a control character', raw('{"a\n":1}'), 0, 'CE_FILE_INVALID', /has "\\n" at character 3/],
    ['an unknown escape', raw('{"\\x":1}'), 0, 'CE_FILE_INVALID', /escape/],
    ['half of a surrogate pair', raw('{"\\ud800":1}'), 0, 'CE_FILE_INVALID', /surrogate/],
    ['a comma too many', raw(`{${a},}`), 4, 'CE_FILE_INVALID', /has "}" at character/],
    ['a missing comma', raw(`{${a}${a}}`), 4, 'CE_FILE_INVALID', /expected "," or "}"/],
    ['a missing colon', raw('{"a"{}}'), 0, 'CE_FILE_INVALID', /expected ":"/],
    ['bytes after the object', raw('{}{'), 0, 'CE_FILE_INVALID', /has "{" at character 2, expected the end/],
    ['a NUL after the object', raw('{}\0'), 0, 'CE_FILE_INVALID', /expected the end/],
    ['deep nesting', entry(`"x":${'['.repeat(200)}`), 0, 'CE_FILE_INVALID', /nested more than 128 deep/, 't'],
    ['a tensor twice', raw(`{${a},"b":${u8(4, 5)},${a}}`), 5, 'CE_FILE_INVALID', /the header has the key "a" twice/],
    ['a tensor twice by an escape', raw(`{${a},"\\u0061":${u8(0, 4)}}`), 4, 'CE_FILE_INVALID', /the key "a" twice/],
    ['__metadata__ twice', raw('{"__metadata__":{},"__metadata__":{}}'), 0, 'CE_FILE_INVALID', /"__metadata__" twice/],
    [
      'a field twice',
      entry('"dtype":"U8","dtype":"U8"'),
      0,
      'CE_FILE_INVALID',
      /its entry has the key "dtype" twice/,
      't',
    ],
    [
      'metadata that is not an object',
      raw('{"__metadata__":[]}'),
      0,
      'CE_FILE_INVALID',
      /__metadata__ is \[\], expected an object/,
    ],
    [
      'metadata with a number',
      raw('{"__metadata__":{"n":1}}'),
      0,
      'CE_FILE_INVALID',
      /__metadata__\["n"\] is 1, expected a string/,
    ],
    ['metadata with a key twice', raw('{"__metadata__":{"n":"","n":""}}'), 0, 'CE_FILE_INVALID', /key "n" twice/],
    ['an entry that is not an object', raw('{"t":5}'), 0, 'CE_FILE_INVALID', /its entry is 5, expected an object/, 't'],
    ['no dtype', entry('"shape":[],"data_offsets":[0,1]'), 1, 'CE_FILE_INVALID', /has no dtype/, 't'],
    ['no shape', entry('"dtype":"U8","data_offsets":[0,1]'), 1, 'CE_FILE_INVALID', /has no shape/, 't'],
    ['no offsets', entry('"dtype":"U8","shape":[]'), 1, 'CE_FILE_INVALID', /has no data_offsets/, 't'],
    ['a dtype that is not a string', entry('"dtype":8'), 0, 'CE_FILE_INVALID', /dtype is 8, expected a string/, 't'],
    [
      'an unknown dtype',
      entry('"dtype":"F128","shape":[],"data_offsets":[0,16]'),
      16,
      'CE_DTYPE_UNKNOWN',
      /"F128".*BF16/,
      't',
    ],
    [
      'a negative dimension',
      raw(`{"t":${u8(0, 1, [-1])}}`),
      1,
      'CE_FILE_INVALID',
      /a number of shape is -1, expected a whole/,
      't',
    ],
    ['a fraction', raw(`{"t":${u8(0, 1, [1.5])}}`), 1, 'CE_FILE_INVALID', /shape is 1.5/, 't'],
    ['an exponent', entry('"shape":[1e2]'), 1, 'CE_FILE_INVALID', /shape is 1e2/, 't'],
    ['a leading zero', entry('"shape":[01]'), 1, 'CE_FILE_INVALID', /shape/, 't'],
    [
      'an unsafe dimension',
      entry('"shape":[9007199254740992]'),
      1,
      'CE_FILE_INVALID',
      /9007199254740992, expected/,
      't',
    ],
    [
      'a string in the shape',
      raw(`{"t":${u8(0, 1, ['1'])}}`),
      1,
      'CE_FILE_INVALID',
      /shape is "1", expected a whole/,
      't',
    ],
    [
      'a shape that is not an array',
      raw(`{"t":${u8(0, 1, null)}}`),
      1,
      'CE_FILE_INVALID',
      /shape is null, expected an array/,
      't',
    ],
    ['a shape too large', raw(`{"t":${u8(0, 1, [2 ** 40, 2 ** 40])}}`), 1, 'CE_FILE_INVALID', /more elements/, 't'],
    ['half a byte', entry('"dtype":"F4","shape":[3],"data_offsets":[0,2]'), 2, 'CE_FILE_INVALID', /multiple of 2/, 't'],
    [
      'one offset',
      entry('"dtype":"U8","shape":[0],"data_offsets":[0]'),
      0,
      'CE_FILE_INVALID',
      /has 1 numbers, expected 2/,
      't',
    ],
    [
      'offsets out of order',
      raw(`{"t":${u8(1, 0, [0])}}`),
      0,
      'CE_FILE_INVALID',
      /\[1,0\], expected the end not before/,
      't',
    ],
    [
      'a first offset other than 0',
      raw(`{"t":${u8(1, 2)}}`),
      2,
      'CE_FILE_INVALID',
      /begins at offset 1.*the header, expected 0/,
      't',
    ],
    [
      'a hole',
      raw(`{${a},"t":${u8(5, 6)}}`),
      6,
      'CE_FILE_INVALID',
      /offset 5 and leaves a hole after tensor "a", expected 4/,
      't',
    ],
    [
      'an overlap',
      raw(`{${a},"t":${u8(3, 6)}}`),
      6,
      'CE_FILE_INVALID',
      /offset 3 and overlaps tensor "a", expected 4/,
      't',
    ],
    [
      'sizes that differ',
      raw(`{"t":${u8(0, 3, [4])}}`),
      3,
      'CE_FILE_INVALID',
      /3 bytes, expected the 4 of U8 and shape \[4\]/,
      't',
    ],
    ['truncated data', raw(`{${a}}`), 3, 'CE_FILE_TRUNCATED', /bytes, expected the .* that its header describes/],
    ['bytes after the data', raw(`{${a}}`), 6, 'CE_FILE_INVALID', /has 2 bytes after the last tensor, expected none/],
  ])('refuses %s', (_, bytes, dataBytes, code, message, tensor) => {
    const error = failure(() => parse(bytes, dataBytes));
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code, file: 'a.safetensors', tensor });
    expect(error.message).toContain('a.safetensors');
    if (tensor !== undefined) expect(error.message).toContain(`tensor "${tensor}"`);
  });

  it('throws only CheckpointEngineError for damaged headers', { timeout: 60_000 }, () => {
    const good = encodeSafetensorsHeader([{ name: 'a', dtype: 'F32', shape: [2] }], { k: 'v' });
    const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const check = (bytes: Uint8Array) => {
      try {
        parse(bytes, 8);
      } catch (error) {
        expect(CheckpointEngineError.isInstance(error), String(error)).toBe(true);
      }
    };
    fc.assert(
      fc.property(damage, fc.nat(good.length), (changes, end) => {
        const bytes = good.slice();
        for (const [at, value] of changes) bytes[at] = value;
        check(bytes);
        check(bytes.subarray(0, end));
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => check(raw(`{${text}`))),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.json(), (text) => check(raw(text))),
      { numRuns: 500 },
    );
  });
});

describe('encodeSafetensorsHeader', () => {
  const name = fc.string({ unit: 'grapheme' }).filter((text) => text !== '__metadata__');
  const spec = fc
    .record({ name, dtype: fc.constantFrom(...DTYPES), shape: fc.array(fc.nat(9), { maxLength: 4 }) })
    .map((tensor) => ({ ...tensor, shape: [...tensor.shape, 4] }));

  it('is undone by parseSafetensorsHeader', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(spec, { selector: (tensor) => tensor.name }),
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })),
        (tensors: TensorSpec[], metadata) => {
          const bytes = encodeSafetensorsHeader(tensors, metadata);
          const total = tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0);
          const file = parse(bytes, total);
          expect(bytes.length % 8).toBe(0);
          const bySize = (list: readonly TensorSpec[]) =>
            list.map(({ name, dtype, shape }) => JSON.stringify([name, dtype, shape])).sort();
          expect(bySize(file.tensors)).toEqual(bySize(tensors));
          expect(Object.entries(file.metadata).sort()).toEqual(Object.entries(metadata).sort());
          const filled = (list: readonly TensorSpec[]) =>
            list.filter(({ dtype, shape }) => tensorBytes(dtype, shape) > 0).map((tensor) => tensor.name);
          expect(filled(file.tensors)).toEqual(filled(tensors));
        },
      ),
    );
  });

  it.each<[string, TensorSpec[], RegExp]>([
    ['a name twice', [1, 2].map((n) => ({ name: 'a', dtype: 'U8', shape: [n] })), /"a" is taken/],
    ['the name __metadata__', [{ name: '__metadata__', dtype: 'U8', shape: [] }], /is taken/],
    ['half of a surrogate pair', [{ name: '\ud800', dtype: 'U8', shape: [] }], /surrogate/],
    ['half a byte', [{ name: 'a', dtype: 'F4', shape: [1] }], /multiple of 2/],
    ['offsets past 2^53', [1, 2].map((n) => ({ name: `${n}`, dtype: 'U8', shape: [2 ** 52 + n] })), /past 2\^53/],
  ])('refuses %s', (_, tensors, message) => {
    expect(() => encodeSafetensorsHeader(tensors)).toThrow(message);
  });

  it('and its parser handle 140,000 tensors', { timeout: 60_000 }, () => {
    const tensors: TensorSpec[] = Array.from({ length: 140_000 }, (_, i) => {
      const place = `model.layers.${Math.floor(i / 2304)}.mlp.experts.${Math.floor(i / 6) % 384}`;
      return { name: `${place}.${i % 6}_proj.weight_scale_inv`, dtype: 'F32', shape: [16, 56] };
    });
    const file = parse(encodeSafetensorsHeader(tensors), 140_000 * 3584);
    expect(file.tensors.length).toBe(140_000);
    expect(file.tensors[139_999]).toMatchObject({
      name: tensors[139_999]!.name,
      fileOffsetBytes: file.dataOffsetBytes + 139_999 * 3584,
    });
  });
});
