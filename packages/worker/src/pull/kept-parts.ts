import type { Needs, NeedsSummary } from '@checkpoint-engine/interface';
import { type Declaration, needsOf, type PulledSlice } from './declaration.ts';
import type { CheckpointTensor } from './kept-slice.ts';

/** Maximum number of modules whose reasons are in a summary. */
const MAX_REASONS = 100;

const NONE = new Float64Array(0);
const EMPTY = {
  tensor: new Uint32Array(0),
  ...{ offsetBytes: NONE, rows: NONE, rowBytes: NONE, pitchBytes: NONE },
};

/** The parts of one list of tensors that an engine keeps: what it declared, and what was found equal to its weights. */
export class KeptParts {
  readonly metasDigest: string;
  readonly tensors: readonly CheckpointTensor[];
  readonly declaration: Declaration;
  readonly #needs: Needs;
  readonly #recordedMs: number;
  /** Tensors that are pulled. */
  #proved: ReadonlySet<number> | undefined;
  #provedMs = 0;

  /**
   * @param parts.startMs When the engine was asked for the declaration.
   * @param parts.isProved Whether slices are pulled without a comparison.
   * @throws {RangeError} The declaration exceeds the tensors or its memory.
   */
  constructor(
    metasDigest: string,
    tensors: readonly CheckpointTensor[],
    parts: { readonly declaration: Declaration; readonly startMs: number; readonly isProved: boolean },
  ) {
    this.metasDigest = metasDigest;
    this.tensors = tensors;
    this.declaration = parts.declaration;
    this.#needs = needsOf(parts.declaration, tensors);
    this.#recordedMs = performance.now() - parts.startMs;
    this.#proved = parts.isProved ? new Set(this.#needs.tensor) : undefined;
  }

  /** Whether it is known which slices hold what the engine loads. */
  get isProved(): boolean {
    return this.#proved !== undefined;
  }

  /** Takes the tensors whose slices were found equal. */
  prove(equal: ReadonlySet<number>): void {
    this.#proved = equal;
  }

  /** Adds the duration of a comparison. */
  addProofMs(durationMs: number): void {
    this.#provedMs += durationMs;
  }

  /** The slices that are pulled. */
  get pulled(): readonly PulledSlice[] {
    return this.declaration.slices.filter(({ tensor }) => this.#proved?.has(tensor) ?? false);
  }

  /** The needs: what to transfer, and how. */
  get needs(): Needs {
    const [needs, proved] = [this.#needs, this.#proved];
    if (proved === undefined) {
      const all = Uint32Array.from(new Set([...needs.tensor, ...needs.rest])).sort();
      return { ...EMPTY, rest: all };
    }
    const kept = [...needs.tensor.keys()].filter((at) => proved.has(needs.tensor[at]!));
    if (kept.length === needs.tensor.length) return needs;
    const failed = new Set([...needs.tensor].filter((index) => index < this.tensors.length && !proved.has(index)));
    return {
      tensor: Uint32Array.from(kept, (at) => needs.tensor[at]!),
      offsetBytes: Float64Array.from(kept, (at) => needs.offsetBytes[at]!),
      rows: Float64Array.from(kept, (at) => needs.rows[at]!),
      rowBytes: Float64Array.from(kept, (at) => needs.rowBytes[at]!),
      pitchBytes: Float64Array.from(kept, (at) => needs.pitchBytes[at]!),
      rest: Uint32Array.from([...needs.rest, ...failed]).sort(),
    };
  }

  /** Which parts of the model are pulled; a tensor counts as a module. */
  get summary(): NeedsSummary {
    const [needs, proved] = [this.#needs, this.#proved];
    const declared = new Set(needs.tensor);
    const others = [...declared].filter((index) => proved?.has(index) !== true);
    const why = proved === undefined ? 'it is compared after the next update' : 'it differs from what was loaded';
    const line = (index: number, reason: string): string => `${this.tensors[index]!.name}\t${reason}`;
    const reasons = [
      ...Array.from(needs.rest.subarray(0, MAX_REASONS), (index) =>
        line(index, "it passes through the engine's loader"),
      ),
      ...others.slice(0, MAX_REASONS).map((index) => line(index, why)),
    ];
    return {
      modules: declared.size + needs.rest.length,
      direct: declared.size - others.length,
      staged: 0,
      opaque: needs.rest.length + others.length,
      reasons: reasons.slice(0, MAX_REASONS).join('\n'),
      recordedMs: this.#recordedMs,
      provedMs: this.#provedMs,
    };
  }
}
