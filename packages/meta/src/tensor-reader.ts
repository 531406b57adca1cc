import { DTYPES, isDType } from './dtype.ts';
import { invalidFile } from './file-errors.ts';
import type { JsonReader } from './json-reader.ts';
import type { TensorEntry } from './safetensors-file.ts';
import { tensorBytes } from './tensor-bytes.ts';

/**
 * Reads the entries of a header, one object each. One reader serves all entries, because a header has up to 10^5 of
 * them.
 */
export class TensorReader {
  readonly #reader: JsonReader;
  readonly #path: string;
  readonly #dataOffsetBytes: number;
  #name = '';
  #dtype: string | undefined;
  #shape: number[] | undefined;
  #offsets: number[] | undefined;

  constructor(reader: JsonReader, path: string, dataOffsetBytes: number) {
    this.#reader = reader;
    this.#path = path;
    this.#dataOffsetBytes = dataOffsetBytes;
  }

  /** Reads and checks the entry of tensor `name`. The JSON reader is positioned at the value. */
  read(name: string): TensorEntry {
    this.#begin(name);
    this.#reader.object('its entry', this.#field);
    const dtype = this.#dtype ?? this.#lacks('dtype');
    const shape = this.#shape ?? this.#lacks('shape');
    const offsets = this.#offsets ?? this.#lacks('data_offsets');
    if (!isDType(dtype)) throw this.#unknownDType(dtype);
    if (offsets.length !== 2) this.#fail(`data_offsets has ${offsets.length} numbers, expected 2`);
    const [begin, end] = offsets as [number, number];
    if (begin > end) this.#fail(`data_offsets is [${offsets}], expected the end not before the begin`);
    let sizeBytes = 0;
    try {
      sizeBytes = tensorBytes(dtype, shape);
    } catch (error) {
      this.#fail((error as RangeError).message);
    }
    if (end - begin !== sizeBytes) {
      this.#fail(
        `data_offsets give it ${end - begin} bytes, expected the ${sizeBytes} of ${dtype} and shape [${shape}]`,
      );
    }
    return { name, dtype, shape, sizeBytes, fileOffsetBytes: this.#dataOffsetBytes + begin, path: this.#path };
  }

  #begin(name: string): void {
    this.#name = name;
    this.#dtype = undefined;
    this.#shape = undefined;
    this.#offsets = undefined;
  }

  readonly #field = (key: string): void => {
    const reader = this.#reader;
    if (key === 'dtype') this.#dtype = reader.string('dtype');
    else if (key === 'shape') this.#shape = reader.naturals('shape', 'a number of shape');
    else if (key === 'data_offsets') this.#offsets = reader.naturals('data_offsets', 'a number of data_offsets');
    else reader.skip('a field that the format does not define');
  };

  #lacks(field: string): never {
    this.#fail(`the entry has no ${field}, expected dtype, shape and data_offsets`);
  }

  #fail(what: string): never {
    throw invalidFile(this.#path, what, { tensor: this.#name });
  }

  #unknownDType(dtype: string): Error {
    return invalidFile(this.#path, `dtype is ${JSON.stringify(dtype)}, expected one of ${DTYPES.join(', ')}`, {
      code: 'CE_DTYPE_UNKNOWN',
      tensor: this.#name,
      hint: 'Convert the tensor to a dtype of the safetensors format',
    });
  }
}
