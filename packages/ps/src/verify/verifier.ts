import type { Device, MemoryRange } from '@checkpoint-engine/interface';
import type { Cleanup } from '@checkpoint-engine/interface/shared';
import { type ArrivedRange, checkArrival } from './arrival-check.ts';
import { ExpectedDigests, type KnownDigests } from './expected-digests.ts';
import { ReadBack } from './read-back.ts';
import { Sampling, type VerifyMode } from './sampling.ts';

/** The verification of an update on one rank. */
export interface VerifySummary {
  readonly mode: VerifyMode;
  /** Bytes that were compared in memory that workers copy from. */
  readonly arrivedBytes: number;
  /** Bytes that the worker holds and that were compared. */
  readonly heldBytes: number;
  /**
   * Tensors of the worker that could not be compared in the engine: it reports none, or no rank knows their digests.
   */
  readonly unverifiedTensors: number;
}

/** Options of {@link Verifier}. */
export interface VerifierOptions {
  readonly mode: VerifyMode;
  readonly rank: number;
  readonly device: Device;
  readonly known: KnownDigests;
  readonly cleanup: Cleanup;
}

/** Verifies one update at one rank. */
export class Verifier {
  readonly mode: VerifyMode;
  readonly rank: number;
  readonly expected: ExpectedDigests;
  readonly #readBack: ReadBack;
  readonly #totalBytes: number;
  #sampling: Sampling;
  #isDerived = false;
  #arrivedBytes = 0;
  #heldBytes = 0;
  #unverifiedTensors = 0;

  constructor({ mode, rank, device, known, cleanup }: VerifierOptions) {
    this.mode = mode;
    this.rank = rank;
    this.expected = new ExpectedDigests(known);
    this.#readBack = new ReadBack(device, cleanup);
    this.#totalBytes = totalBytesOf(known.metas);
    this.#sampling = new Sampling(mode, 0, this.#totalBytes);
  }

  get isOn(): boolean {
    return this.mode !== 'off';
  }

  /** The blocks to verify. The same on all ranks that know the number of the update. */
  get sampling(): Sampling {
    return this.#sampling;
  }

  get summary(): VerifySummary {
    return {
      mode: this.mode,
      arrivedBytes: this.#arrivedBytes,
      heldBytes: this.#heldBytes,
      unverifiedTensors: this.#unverifiedTensors,
    };
  }

  /** Whether files that the update reads are digested, and compared with what was read before. */
  get digestsReads(): boolean {
    return this.isOn || this.#isDerived;
  }

  /** The ranks agreed on the number of the update. @param options.isDerived Its version is derived from digests. */
  begin(counter: number, { isDerived }: { readonly isDerived: boolean }): void {
    this.#isDerived = isDerived;
    this.#sampling = new Sampling(this.mode, counter, this.#totalBytes);
  }

  /**
   * Compares bytes that have arrived in a memory.
   *
   * @param onRead Called, unless this fails before, once the memory is not read any more: it may be overwritten then,
   *               while the comparison goes on.
   * @throws `CE_DIGEST_MISMATCH`
   */
  async checkArrival(
    memory: Pick<MemoryRange, 'memory'>,
    ranges: readonly ArrivedRange[],
    onRead: () => void = () => {},
  ): Promise<void> {
    if (!this.isOn) {
      onRead();
      return;
    }
    const { rank, expected } = this;
    const context = { rank, expected, sampling: this.#sampling, readBack: this.#readBack, onRead };
    // Several comparisons run at the same time, so the count is read after the wait.
    const bytes = await checkArrival(memory, ranges, context);
    this.#arrivedBytes += bytes;
  }

  /** Adds bytes that were compared in the engine. */
  countHeld(bytes: number, unverifiedTensors: number): void {
    this.#heldBytes += bytes;
    this.#unverifiedTensors += unverifiedTensors;
  }
}

const totals = new WeakMap<KnownDigests['metas'], number>();

/** Bytes of a checkpoint. Added up once for the same metas. */
function totalBytesOf(world: KnownDigests['metas']): number {
  let total = totals.get(world);
  if (total === undefined) {
    total = 0;
    for (const { tensors } of world) for (const { sizeBytes } of tensors) total += sizeBytes;
    totals.set(world, total);
  }
  return total;
}
