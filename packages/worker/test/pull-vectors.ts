import {
  encodeDigests,
  encodeNeeds,
  encodePlaces,
  encodeU32,
  encodeU64,
  type Needs,
  type NeedsSummary,
  type Places,
} from '@checkpoint-engine/interface';
import { encode } from '@msgpack/msgpack';

/** Numbers of boxes or places, one row each; made into columns by {@link needsOf} and {@link placesOf}. */
export type Row5 = readonly [number, number, number, number, number];

export const needsOf = (boxes: readonly Row5[], rest: readonly number[] = []): Needs => ({
  tensor: Uint32Array.from(boxes, (row) => row[0]),
  offsetBytes: Float64Array.from(boxes, (row) => row[1]),
  rows: Float64Array.from(boxes, (row) => row[2]),
  rowBytes: Float64Array.from(boxes, (row) => row[3]),
  pitchBytes: Float64Array.from(boxes, (row) => row[4]),
  rest: Uint32Array.from(rest),
});

export const placesOf = (rows: readonly Row5[]): Places => ({
  tensor: Uint32Array.from(rows, (row) => row[0]),
  tensorOffsetBytes: Float64Array.from(rows, (row) => row[1]),
  sizeBytes: Float64Array.from(rows, (row) => row[2]),
  region: Uint32Array.from(rows, (row) => row[3]),
  offsetBytes: Float64Array.from(rows, (row) => row[4]),
});

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** Bytes in their JSON form. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $bin: hex(value) };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([name, field]) => [name, plain(field)]),
  );
}

function frame(message: object): string {
  const payload = encode(message, { ignoreUndefined: true });
  const bytes = new Uint8Array(4 + payload.byteLength);
  new DataView(bytes.buffer).setUint32(0, payload.byteLength, true);
  bytes.set(payload, 4);
  return hex(bytes);
}

const SUMMARY: NeedsSummary = {
  ...{ modules: 4, direct: 2, staged: 1, opaque: 1, recordedMs: 12.5, provedMs: 0 },
  reasons: 'model.norm\tis added to, not copied\nmodel.head\tis packed after loading',
};

const TENSORS = [
  { name: 'row', dtype: 'BF16', shape: [8, 4], size: 64 },
  { name: 'column', dtype: 'F32', shape: [4, 8], size: 128 },
  { name: 'expert.0', dtype: 'U8', shape: [32], size: 32 },
  { name: 'expert.1', dtype: 'U8', shape: [32], size: 32 },
  { name: 'scale', dtype: 'F32', shape: [], size: 4 },
  { name: 'empty', dtype: 'F32', shape: [0, 8], size: 0 },
  { name: 'packed', dtype: 'F8_E4M3', shape: [48], size: 48 },
] as const;

const SIZES = TENSORS.map(({ size }) => size);

/** Rows 4 to 7 of `row`, columns 2 to 3 of `column`, expert 1, the scale; `packed` arrives complete. */
const BOXES: readonly Row5[] = [
  [0, 32, 1, 32, 32],
  [1, 8, 4, 8, 32],
  [3, 0, 1, 32, 32],
  [4, 0, 1, 4, 4],
];

const REGIONS = [
  { id: 0, sizeBytes: 512, name: 'checkpoint-engine-1000-4242-1234567-0123456789abcdef' },
  { id: 3, sizeBytes: 256, name: 'checkpoint-engine-1000-4243-1234568-fedcba9876543210' },
];

const LAYOUT: readonly Row5[] = [
  [0, 0, 64, 0, 0],
  [1, 0, 128, 0, 256],
  [2, 0, 32, 3, 0],
  [3, 0, 32, 3, 64],
  [4, 0, 4, 3, 128],
  [5, 0, 0, 3, 192],
  [6, 0, 48, 3, 192],
];

/** A box of needs, and its destination. */
const TARGETS = [
  { box: BOXES[0]!, toOffset: 0, toPitch: 32 },
  { box: BOXES[1]!, toOffset: 40, toPitch: 16 },
  { box: BOXES[2]!, toOffset: 128, toPitch: 32 },
  { box: BOXES[3]!, toOffset: 168, toPitch: 4 },
];
const TARGET_BYTES = 192;

/** Byte `at` of a region in the vectors. */
export const regionByte = (id: number, at: number): number => (id * 31 + at * 7 + (at >> 8)) & 255;

/** Copies the places to the target, byte by byte. */
function pulled(places: readonly Row5[], target: Uint8Array): number {
  let bytes = 0;
  for (const { box, toOffset, toPitch } of TARGETS) {
    const [tensor, offset, rows, rowBytes, pitch] = box;
    for (let row = 0; row < rows; row++) {
      for (let byte = 0; byte < rowBytes; byte++) {
        const at = offset + row * pitch + byte;
        const place = places.find(([of, from, size]) => of === tensor && at >= from && at < from + size);
        if (place === undefined) continue;
        target[toOffset + row * toPitch + byte] = regionByte(place[3], place[4] + at - place[1]);
        bytes += 1;
      }
    }
  }
  return bytes;
}

/** Parts of tensors, in slots of region 3: pieces end within rows. */
const CHUNKS: readonly (readonly Row5[])[] = [
  [
    [0, 32, 32, 3, 0],
    [1, 8, 30, 3, 32],
  ],
  [
    [1, 38, 90, 3, 128],
    [3, 0, 16, 3, 224],
  ],
  [
    [3, 16, 16, 3, 0],
    [4, 0, 4, 3, 16],
  ],
];

function pullVector(name: string, layout: readonly Row5[], pulls: readonly (readonly Row5[] | null)[]): object {
  const target = new Uint8Array(TARGET_BYTES);
  return {
    name,
    tensors: TENSORS,
    regions: REGIONS.map(({ id, sizeBytes }) => ({ id, sizeBytes })),
    targets: TARGETS,
    targetBytes: TARGET_BYTES,
    layout,
    pulls: pulls.map((places) => {
      const bytes = pulled(places ?? layout, target);
      return { places, bytes, target: hex(target) };
    }),
  };
}

/** The copies of tables of boxes and places. */
export const pullVectors = (): object => ({
  about:
    'Byte i of region r is (r * 31 + i * 7 + (i >> 8)) mod 256. Targets copy a box [tensor, offset, rows, rowBytes, pitch] to toOffset of one target of targetBytes zeros. Places are [tensor, tensorOffset, size, region, offset]. A pull without places copies all of the layout. Each pull gives the bytes that it copies and the target after it.',
  vectors: [pullVector('pools of the host', LAYOUT, [null]), pullVector('chunks in a ring', [], CHUNKS)],
});

const badNeeds: readonly (readonly [string, readonly Row5[], readonly number[]])[] = [
  ['a tensor that does not exist', [[7, 0, 1, 4, 4]], []],
  ['a rest that does not exist', [], [7]],
  ['a box that ends after its tensor', [[0, 32, 1, 33, 33]], []],
  ['a row that ends after its tensor', [[1, 8, 4, 32, 32]], []],
  ['no rows', [[0, 0, 0, 4, 4]], []],
  ['empty rows', [[0, 0, 1, 0, 0]], []],
  ['rows that overlap', [[0, 0, 2, 8, 4]], []],
  ['one row with a pitch', [[0, 0, 1, 8, 16]], []],
  ['a sum beyond 2^53', [[0, 0, 9007199254740991, 1, 9007199254740991]], []],
  ['a box of an empty tensor', [[5, 0, 1, 1, 1]], []],
  ['a tensor in a box and in rest', [[0, 0, 1, 4, 4]], [0]],
  ['a tensor twice in rest', [], [6, 6]],
];

const badPlaces: readonly (readonly [string, readonly Row5[]])[] = [
  ['a tensor that does not exist', [[7, 0, 4, 0, 0]]],
  ['a region that was not named', [[0, 0, 4, 1, 0]]],
  ['bytes after the end of the tensor', [[0, 60, 8, 0, 0]]],
  ['bytes after the end of the region', [[0, 0, 64, 0, 449]]],
  ['an offset beyond 2^53 in sum', [[0, 0, 64, 0, 9007199254740991]]],
  [
    'out of order',
    [
      [1, 0, 4, 0, 0],
      [0, 0, 4, 0, 64],
    ],
  ],
  [
    'overlapping ranges',
    [
      [1, 0, 8, 0, 0],
      [1, 4, 8, 0, 64],
    ],
  ],
];

const needsColumns = (boxes: readonly Row5[], rest: readonly number[]) =>
  Object.fromEntries(Object.entries(encodeNeeds(needsOf(boxes, rest))).map(([name, bytes]) => [name, hex(bytes)]));
const placesColumns = (rows: readonly Row5[]) =>
  Object.fromEntries(Object.entries(encodePlaces(placesOf(rows))).map(([name, bytes]) => [name, hex(bytes)]));

/** Needs and places in columns, valid and invalid ones. */
export const columnVectors = (): object => ({
  about:
    'Boxes are [tensor, offset, rows, rowBytes, pitch], places are [tensor, tensorOffset, size, region, offset]. If "error" is present, a reader must refuse the numbers: "error" describes the reason.',
  sizes: SIZES,
  regions: REGIONS.map(({ id, sizeBytes }) => ({ id, sizeBytes })),
  needs: [
    { name: 'slices', boxes: BOXES, rest: [6], columns: needsColumns(BOXES, [6]) },
    { name: 'nothing', boxes: [], rest: [], columns: needsColumns([], []) },
    {
      name: 'everything whole',
      boxes: [],
      rest: SIZES.map((_, at) => at),
      columns: needsColumns(
        [],
        SIZES.map((_, at) => at),
      ),
    },
    ...badNeeds.map(([error, boxes, rest]) => ({
      name: error,
      boxes,
      rest,
      columns: needsColumns(boxes, rest),
      error,
    })),
  ],
  places: [
    { name: 'pools', rows: LAYOUT, columns: placesColumns(LAYOUT) },
    { name: 'a chunk', rows: CHUNKS[1], columns: placesColumns(CHUNKS[1]!) },
    ...badPlaces.map(([error, rows]) => ({ name: error, rows, columns: placesColumns(rows), error })),
  ],
});

type Line = readonly ['worker' | 'server', { readonly type: string } & Record<string, unknown>];

const KEY = '0123456789abcdef'.repeat(4);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const regions = REGIONS.map(({ id, sizeBytes, name }) => ({ id, handle: text(name), sizeBytes }));
const hello: Line = ['worker', { type: 'hello', protocol: 2, key: KEY, pid: 4711, pull: { version: 1 } }];
const survey = (intent: 'update' | 'prepare', version?: string): Line => [
  'server',
  {
    ...{ type: 'survey', protocol: 2, intent, checkpoint: 'step-100', updateId: 'step-100:7', rank: 1 },
    ...{ deviceKind: 'host', deviceUuid: 'HOST-test-1', metasDigest: '5eed'.repeat(8), tensorCount: TENSORS.length },
    ...(version === undefined ? {} : { version }),
  },
];
const surveyed = (known: boolean, proved: boolean, holds?: string): Line => [
  'worker',
  { type: 'surveyed', known, proved, fingerprint: 'engine-1', ...(holds === undefined ? {} : { holds }) },
];
const metas = (part: number, parts: number, from: number, to: number): Line => [
  'server',
  {
    ...{ type: 'metas', part, parts },
    names: TENSORS.slice(from, to).map(({ name }) => name),
    dtypes: TENSORS.slice(from, to).map(({ dtype }) => dtype),
    shapes: TENSORS.slice(from, to).map(({ shape }) => shape),
    sizes: TENSORS.slice(from, to).map(({ size }) => size),
  },
];
const needs = (boxes: readonly Row5[], rest: readonly number[]): Line => [
  'worker',
  { type: 'needs', part: 0, parts: 1, ...encodeNeeds(needsOf(boxes, rest)), summary: SUMMARY },
];
const layout = (rows?: readonly Row5[]): Line => [
  'server',
  {
    ...{ type: 'regions', part: 0, parts: 1, layoutDigest: 'a0b1'.repeat(8), regions },
    ...(rows === undefined ? {} : { places: encodePlaces(placesOf(rows)) }),
  },
];
const digestingHello: Line = [
  'worker',
  { type: 'hello', protocol: 2, key: KEY, pid: 4711, pull: { version: 1, provesParts: true, digests: true } },
];
const digest: readonly Line[] = [
  [
    'server',
    {
      ...{ type: 'digest', index: 0 },
      tensor: encodeU32([0, 0, 2]),
      offset: encodeU64([0, 16, 0]),
      size: encodeU64([16, 8, 24]),
    },
  ],
  [
    'worker',
    {
      ...{ type: 'digested', index: 0 },
      digest: encodeDigests([0n, 0x0123456789abcdefn, 2n ** 64n - 1n]),
      bytes: encodeU64([16, 8, 12]),
    },
  ],
];
const mapped = (needPlaces: boolean): Line => ['worker', { type: 'mapped', needPlaces }];
const welcome: Line = [
  'server',
  {
    ...{ type: 'welcome', protocol: 2, checkpoint: 'step-100', updateId: 'step-100:7', rank: 1, deviceKind: 'host' },
    ...{ deviceUuid: 'HOST-test-1', handle: text(REGIONS[0]!.name), sizeBytes: 512, slots: 2, bufferStays: true },
  },
];
const bucket = (index: number, tensors: readonly (typeof TENSORS)[number][]): Line => [
  'server',
  {
    ...{ type: 'bucket', index },
    tensors: {
      names: tensors.map(({ name }) => name),
      dtypes: tensors.map(({ dtype }) => dtype),
      shapes: tensors.map(({ shape }) => shape),
      offsets: tensors.map((_, at) => at * 256),
      sizes: tensors.map(({ size }) => size),
    },
  },
];
const buckets = (...lists: readonly (readonly (typeof TENSORS)[number][])[]): readonly Line[] => [
  welcome,
  ['worker', { type: 'ready', credits: 2 }],
  ...lists.flatMap((tensors, index): Line[] => [bucket(index, tensors), ['worker', { type: 'ack', index }]]),
  ['server', { type: 'release' }],
  ['worker', { type: 'released' }],
];
const pull = (index: number, bytes: number, rows?: readonly Row5[]): readonly Line[] => [
  ['server', { type: 'pull', index, ...(rows === undefined ? {} : { places: encodePlaces(placesOf(rows)) }) }],
  ['worker', { type: 'pulled', index, bytes, durationMs: 0.5 }],
];
const finish: readonly Line[] = [
  ['server', { type: 'finish' }],
  ['worker', { type: 'finished' }],
];
const finishAndConfirm: readonly Line[] = [
  ['server', { type: 'finish', confirms: true }],
  ['worker', { type: 'finished' }],
];
const confirm = (version: string): readonly Line[] => [
  ['server', { type: 'confirm', version }],
  ['worker', { type: 'confirmed' }],
];
const prove: readonly Line[] = [
  ['server', { type: 'prove' }],
  ['worker', { type: 'proved', proved: true, summary: { ...SUMMARY, provedMs: 3 } }],
];
const bye = (keep: boolean): Line => ['server', { type: 'bye', keep }];
const ALL = TENSORS.map((_, at) => at);

const SESSIONS: readonly { readonly name: string; readonly lines: readonly Line[] }[] = [
  {
    name: 'first update: all in buckets, then proved',
    lines: [
      ...[hello, survey('update'), surveyed(false, false), metas(0, 2, 0, 4), metas(1, 2, 4, 7), needs([], ALL)],
      ...[layout(), mapped(true), layout(LAYOUT), mapped(false)],
      ...buckets(TENSORS.slice(0, 4), TENSORS.slice(4)),
      ...[...finish, ...prove, bye(true)],
    ],
  },
  {
    name: 'later update: boxes from pools, the rest in buckets',
    lines: [
      ...[hello, survey('update', '42'), surveyed(true, true), needs(BOXES, [6]), layout(), mapped(false)],
      ...buckets([TENSORS[6]]),
      ...[...pull(0, 100), ...finish, bye(true)],
    ],
  },
  {
    name: 'an update that is verified',
    lines: [
      ...[digestingHello, survey('update'), surveyed(true, true), needs(BOXES, []), layout(LAYOUT), mapped(false)],
      ...[...pull(0, 100), ...finish, ...digest, bye(false)],
    ],
  },
  {
    name: 'later update: no buckets, chunks in a ring',
    lines: [
      ...[hello, survey('update'), surveyed(true, true), needs(BOXES, []), layout(), mapped(true), layout([])],
      ...[mapped(false), ...pull(0, 40, CHUNKS[0]), ...pull(1, 40, CHUNKS[1]), ...pull(2, 20, CHUNKS[2])],
      ...[...finish, bye(false)],
    ],
  },
  {
    name: 'update from version 41 to 42: proved, then confirmed',
    lines: [
      ...[{ ...hello[1], holds: '41' }].map((greeting): Line => ['worker', greeting]),
      ...[survey('update', '42'), surveyed(true, false, '41'), needs([], ALL), layout(LAYOUT), mapped(false)],
      ...buckets(TENSORS.slice(0, 4), TENSORS.slice(4)),
      ...[...finishAndConfirm, ...prove, ...confirm('42'), bye(true)],
    ],
  },
  {
    name: 'whole buckets after all',
    lines: [
      ...[hello, survey('update'), surveyed(true, true), needs(BOXES, [6])],
      ...buckets(TENSORS.slice(0, 4), TENSORS.slice(4)),
      ...[...finish, bye(false)],
    ],
  },
  {
    name: 'prepare, and prove what an earlier session loaded',
    lines: [
      ...[hello, survey('prepare', '42'), surveyed(true, false, '42'), needs([], ALL), layout(LAYOUT)],
      ...[mapped(false), ...prove, bye(true)],
    ],
  },
  {
    name: 'aborted while it pulls',
    lines: [
      ...[hello, survey('update'), surveyed(true, true), needs(BOXES, []), layout(LAYOUT), mapped(false)],
      ['server', { type: 'pull', index: 0 }],
      [
        'server',
        {
          type: 'abort',
          error: { code: 'CE_RANK_LOST', message: 'Rank 3 was lost', hint: 'Restart it', peer: 3, retryable: true },
        },
      ],
      ['worker', { type: 'aborted' }],
    ],
  },
];

/** Whole sessions, message by message. */
export const sessionVectors = (): object => ({
  about:
    'Messages in order, with the frame that carries each: u32 little-endian size and msgpack. {"$bin": hex} is a msgpack bin. Encoders may differ in the order of a map and in how a number is written, so compare what is decoded.',
  sessions: SESSIONS.map(({ name, lines }) => ({
    name,
    lines: lines.map(([from, message]) => ({ from, message: plain(message), frame: frame(message) })),
  })),
});
