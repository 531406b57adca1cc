import { TextDecoder } from 'node:util';
import { ByteReader } from './byte-reader.ts';
import { type DType, isDType } from './dtype.ts';
import { type Columns, isHighSurrogate, MAX_NAME_UNITS } from './metas-columns.ts';
import { invalidMetas } from './metas-error.ts';
import type { ParameterMeta, PoolRegion, RankMetas } from './parameter-meta.ts';
import { tensorBytes } from './tensor-bytes.ts';

/**
 * Maximum number of tensors in the metas of a world; the largest models have 200,000. The limit bounds the work that
 * few bytes can cause.
 */
const MAX_TENSORS = 1_000_000;
/** Maximum number of items of one list, and maximum number of dimensions of one shape. */
const MAX_ITEMS = 4 * MAX_TENSORS;
const MAX_DIMENSIONS = 256;

interface Kind {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
}

interface Step {
  readonly shared: number;
  readonly suffix: string;
  readonly kind: Kind;
}

/** Restores metas from columns. Checks every size before it allocates by it. @throws `CE_METAS_INVALID` */
export function decodeColumns(columns: Columns): RankMetas[] {
  const strings = readStrings(columns.strings);
  const steps = readSteps(columns.steps, strings, readKinds(columns.kinds, strings));
  return new RankReader(columns, strings, steps).read();
}

/** Reads the checkpoint of the first rank, or undefined if there is no rank. @throws `CE_METAS_INVALID` */
export function readCheckpoint(columns: Pick<Columns, 'strings' | 'ranks'>): string | undefined {
  const ranks = new ByteReader(columns.ranks, 'the rank column');
  if (ranks.count() === 0) return undefined;
  const wanted = ranks.natural();
  const strings = new ByteReader(columns.strings, 'the string column');
  const count = strings.count();
  if (wanted >= count) throw invalidMetas(`the rank column names string ${wanted}, which does not exist`);
  let offset = 0;
  let length = 0;
  // The strings follow the lengths of all of them.
  for (let index = 0; index < count; index++) {
    const next = strings.natural();
    if (index < wanted) offset += next;
    if (index === wanted) length = next;
  }
  strings.bytes(offset);
  return decodeText(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }), strings.bytes(length));
}

function readStrings(column: Uint8Array): string[] {
  const reader = new ByteReader(column, 'the string column');
  const lengths = readItems(reader, () => reader.natural());
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const strings = lengths.map((length) => decodeText(decoder, reader.bytes(length)));
  reader.end();
  return strings;
}

function decodeText(decoder: TextDecoder, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw invalidMetas('a string is not UTF-8', { cause });
  }
}

function readKinds(column: Uint8Array, strings: readonly string[]): Kind[] {
  const reader = new ByteReader(column, 'the kind column');
  const kinds = readItems(reader, (): Kind => {
    const dtype = reader.item(strings);
    if (!isDType(dtype)) throw invalidMetas(`${JSON.stringify(dtype)} is not a dtype`);
    const shape = readItems(reader, () => reader.natural(), MAX_DIMENSIONS);
    try {
      return { dtype, shape, sizeBytes: tensorBytes(dtype, shape) };
    } catch (cause) {
      throw invalidMetas((cause as RangeError).message, { cause });
    }
  });
  reader.end();
  return kinds;
}

function readSteps(column: Uint8Array, strings: readonly string[], kinds: readonly Kind[]): Step[] {
  const reader = new ByteReader(column, 'the step column');
  const steps = readItems(reader, () => {
    return { shared: reader.natural(), suffix: reader.item(strings), kind: reader.item(kinds) };
  });
  reader.end();
  return steps;
}

function readItems<T>(reader: ByteReader, read: () => T, most: number = MAX_ITEMS): T[] {
  const count = reader.count();
  if (count > most) throw invalidMetas(`a list has ${count} items, expected at most ${most}`);
  const items: T[] = [];
  for (let index = 0; index < count; index++) items.push(read());
  return items;
}

class RankReader {
  readonly #strings: readonly string[];
  readonly #steps: readonly Step[];
  readonly #ranks: ByteReader;
  readonly #tensors: ByteReader;
  readonly #gaps: ByteReader;
  #gap = 0;
  #gapRun = 0;
  #name = '';
  #nameUnits = 0;
  #tensorCount = 0;

  constructor(columns: Columns, strings: readonly string[], steps: readonly Step[]) {
    this.#strings = strings;
    this.#steps = steps;
    this.#ranks = new ByteReader(columns.ranks, 'the rank column');
    this.#tensors = new ByteReader(columns.tensors, 'the tensor column');
    this.#gaps = new ByteReader(columns.gaps, 'the gap column');
  }

  read(): RankMetas[] {
    const world = readItems(this.#ranks, () => this.#rank());
    for (const reader of [this.#ranks, this.#tensors, this.#gaps]) reader.end();
    if (this.#gapRun > 0) throw invalidMetas(`the gap column covers ${this.#gapRun} tensors too many`);
    return world;
  }

  #rank(): RankMetas {
    const ranks = this.#ranks;
    const checkpoint = ranks.item(this.#strings);
    const rank = ranks.natural();
    const host = ranks.item(this.#strings);
    const deviceUuid = ranks.item(this.#strings);
    const p2pAddress = this.#optional();
    const nics = readItems(ranks, () => ranks.item(this.#strings));
    const tensors: ParameterMeta[] = [];
    let region = 0;
    const regions = readItems(ranks, () => this.#region(region++, tensors));
    const address = p2pAddress === undefined ? undefined : { p2pAddress };
    return { checkpoint, rank, host, deviceUuid, ...address, nics, regions, tensors };
  }

  #optional(): string | undefined {
    const index = this.#ranks.natural();
    if (index > this.#strings.length)
      throw invalidMetas(`the rank column names string ${index - 1}, which does not exist`);
    return index === 0 ? undefined : this.#strings[index - 1];
  }

  #region(region: number, tensors: ParameterMeta[]): PoolRegion {
    const ranks = this.#ranks;
    const sizeBytes = ranks.natural();
    const count = ranks.natural();
    this.#tensorCount += count;
    if (this.#tensorCount > MAX_TENSORS) {
      throw invalidMetas(`they name ${this.#tensorCount} tensors, expected at most ${MAX_TENSORS}`);
    }
    const address = this.#optional();
    const remote =
      address === undefined ? undefined : { address, sizeBytes: ranks.natural(), key: ranks.item(this.#strings) };
    let end = 0;
    for (let index = 0; index < count; index++) {
      const tensor = this.#tensor(region, end);
      end = tensor.offsetBytes + tensor.sizeBytes;
      if (end > sizeBytes) {
        throw invalidMetas(`it ends at ${end}, outside its region of ${sizeBytes} bytes`, { tensor: tensor.name });
      }
      tensors.push(tensor);
    }
    return remote === undefined ? { sizeBytes } : { sizeBytes, remote };
  }

  #tensor(region: number, end: number): ParameterMeta {
    const { shared, suffix, kind } = this.#tensors.item(this.#steps);
    const name = this.#nextName(shared, suffix);
    const { dtype, shape, sizeBytes } = kind;
    return { name, dtype, shape, sizeBytes, region, offsetBytes: end + this.#nextGap() };
  }

  #nextName(shared: number, suffix: string): string {
    const before = this.#name;
    if (shared > before.length || (shared > 0 && isHighSurrogate(before.charCodeAt(shared - 1)))) {
      throw invalidMetas(`a name shares ${shared} characters with ${JSON.stringify(before)}`);
    }
    this.#nameUnits += shared + suffix.length;
    if (this.#nameUnits > MAX_NAME_UNITS) throw invalidMetas(`all names together exceed ${MAX_NAME_UNITS} characters`);
    this.#name = before.slice(0, shared) + suffix;
    return this.#name;
  }

  #nextGap(): number {
    if (this.#gapRun === 0) {
      this.#gap = this.#gaps.natural();
      this.#gapRun = this.#gaps.natural();
      if (this.#gapRun === 0) throw invalidMetas('the gap column has an empty run');
    }
    this.#gapRun--;
    return this.#gap;
  }
}
