import { ByteWriter } from './byte-writer.ts';
import { Dictionary } from './dictionary.ts';
import { type Columns, isHighSurrogate, MAX_NAME_UNITS } from './metas-columns.ts';
import { invalidMetas } from './metas-error.ts';
import type { ParameterMeta, RankMetas } from './parameter-meta.ts';
import { Trie } from './trie.ts';

/** The difference between one tensor and the one before it. */
interface Step {
  readonly shared: number;
  readonly suffix: number;
  readonly kind: number;
  /** Number of tensors that use this step. */
  uses: number;
}

/** Puts checked metas into columns. Equal metas produce equal bytes. */
export function encodeColumns(world: readonly RankMetas[]): Columns {
  return new MetasEncoder().encode(world);
}

class MetasEncoder {
  readonly #strings = new Dictionary();
  readonly #kindTrie = new Trie();
  readonly #kinds = new ByteWriter();
  #kindCount = 0;
  readonly #stepTrie = new Trie();
  readonly #steps: Step[] = [];
  readonly #tensors: number[] = [];
  readonly #ranks = new ByteWriter();
  readonly #gaps = new ByteWriter();
  #gap = 0;
  #gapRun = 0;
  #name = '';
  #nameUnits = 0;

  encode(world: readonly RankMetas[]): Columns {
    this.#ranks.natural(world.length);
    for (const metas of world) this.#rank(metas);
    this.#endGapRun();
    const { steps, tensors } = this.#sortSteps();
    return {
      strings: this.#stringTable(),
      kinds: counted(this.#kindCount, this.#kinds),
      steps,
      ranks: this.#ranks.view(),
      tensors,
      gaps: this.#gaps.view(),
    };
  }

  #rank({ checkpoint, rank, host, deviceUuid, p2pAddress, nics, regions, tensors }: RankMetas): void {
    const ranks = this.#ranks;
    this.#string(checkpoint);
    ranks.natural(rank);
    this.#string(host);
    this.#string(deviceUuid);
    this.#optional(p2pAddress);
    ranks.natural(nics.length);
    for (const nic of nics) this.#string(nic);
    ranks.natural(regions.length);
    let next = 0;
    for (const [index, { sizeBytes, remote }] of regions.entries()) {
      const first = next;
      for (let end = 0; tensors[next]?.region === index; next++) {
        const tensor = tensors[next]!;
        this.#tensor(tensor);
        this.#addGap(tensor.offsetBytes - end);
        end = tensor.offsetBytes + tensor.sizeBytes;
      }
      ranks.natural(sizeBytes);
      ranks.natural(next - first);
      this.#optional(remote?.address);
      if (remote !== undefined) {
        ranks.natural(remote.sizeBytes);
        this.#string(remote.key);
      }
    }
  }

  #string(value: string): void {
    this.#ranks.natural(this.#strings.indexOf(value));
  }

  #optional(value: string | undefined): void {
    this.#ranks.natural(value === undefined ? 0 : this.#strings.indexOf(value) + 1);
  }

  #tensor(tensor: ParameterMeta): void {
    const { name } = tensor;
    this.#nameUnits += name.length;
    if (this.#nameUnits > MAX_NAME_UNITS) throw invalidMetas(`all names together exceed ${MAX_NAME_UNITS} characters`);
    const shared = sharedPrefix(this.#name, name);
    const suffix = this.#strings.indexOf(name.slice(shared));
    const kind = this.#kind(tensor);
    const node = this.#stepTrie.next(kind).next(shared).next(suffix);
    if (node.id < 0) node.id = this.#steps.push({ shared, suffix, kind, uses: 0 }) - 1;
    this.#steps[node.id]!.uses++;
    this.#tensors.push(node.id);
    this.#name = name;
  }

  #kind({ dtype, shape }: ParameterMeta): number {
    const name = this.#strings.indexOf(dtype);
    let node = this.#kindTrie.next(name);
    for (const dimension of shape) node = node.next(dimension);
    if (node.id < 0) {
      node.id = this.#kindCount++;
      this.#kinds.natural(name);
      this.#kinds.natural(shape.length);
      for (const dimension of shape) this.#kinds.natural(dimension);
    }
    return node.id;
  }

  #addGap(gap: number): void {
    if (gap !== this.#gap) this.#endGapRun();
    this.#gap = gap;
    this.#gapRun++;
  }

  #endGapRun(): void {
    if (this.#gapRun === 0) return;
    this.#gaps.natural(this.#gap);
    this.#gaps.natural(this.#gapRun);
    this.#gapRun = 0;
  }

  #sortSteps(): { steps: Uint8Array; tensors: Uint8Array } {
    const order = this.#steps.map((_, index) => index);
    order.sort((a, b) => this.#steps[b]!.uses - this.#steps[a]!.uses || a - b);
    const steps = new ByteWriter();
    const places = new Uint32Array(order.length);
    for (const [place, index] of order.entries()) {
      const { shared, suffix, kind } = this.#steps[index]!;
      steps.natural(shared);
      steps.natural(suffix);
      steps.natural(kind);
      places[index] = place;
    }
    const tensors = new ByteWriter();
    for (const index of this.#tensors) tensors.natural(places[index]!);
    return { steps: counted(order.length, steps), tensors: tensors.view() };
  }

  #stringTable(): Uint8Array {
    const lengths = new ByteWriter();
    const text = new ByteWriter();
    const encoder = new TextEncoder();
    for (const value of this.#strings.keys()) {
      if (/\p{Surrogate}/u.test(value)) throw invalidMetas(`${JSON.stringify(value)} has a lone surrogate`);
      const bytes = encoder.encode(value);
      lengths.natural(bytes.length);
      text.bytes(bytes);
    }
    lengths.bytes(text.view());
    return counted(this.#strings.size, lengths);
  }
}

function counted(count: number, items: ByteWriter): Uint8Array {
  const writer = new ByteWriter();
  writer.natural(count);
  writer.bytes(items.view());
  return writer.view();
}

/** Number of UTF-16 units that both names begin with. It never splits a surrogate pair, which UTF-8 cannot encode. */
function sharedPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let shared = 0;
  while (shared < most && a.charCodeAt(shared) === b.charCodeAt(shared)) shared++;
  return shared > 0 && isHighSurrogate(a.charCodeAt(shared - 1)) ? shared - 1 : shared;
}
