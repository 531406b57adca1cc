import type { BlockDigests, ParameterMeta, RankMetas } from '@checkpoint-engine/meta';
import type { DigestBook } from '../digests/digest-book.ts';
import { RankDigests } from './rank-digests.ts';

/** The digests of one tensor by blocks. */
export interface ExpectedTensor {
  readonly meta: ParameterMeta;
  readonly blockBytes: number;
  /** The digest of a block; undefined if no rank has reported it. */
  block(index: number): bigint | undefined;
}

/** Input of {@link ExpectedDigests}. */
export interface KnownDigests {
  /** Metas of all ranks that hold the checkpoint. */
  readonly metas: readonly RankMetas[];
  /** Digests by rank, if they were gathered with the metas. */
  readonly gathered: ReadonlyMap<number, BlockDigests>;
  /** Digests of this rank, if it holds a share. They may be more complete. */
  readonly own: { readonly rank: number; readonly book: DigestBook } | undefined;
}

interface Holder {
  readonly metas: RankMetas;
  readonly index: number;
}

/** The digests that the bytes of a checkpoint are expected to have. */
export class ExpectedDigests {
  readonly #known: KnownDigests;
  readonly #told = new Map<number, RankDigests>();
  readonly #holders: ReadonlyMap<string, Holder>;
  /** The ranks have told what they have read since the metas were gathered. The rest stays unknown in this update. */
  haveToldAll = false;

  constructor(known: KnownDigests) {
    this.#known = known;
    this.#holders = holdersOf(known.metas);
    for (const [rank, digests] of known.gathered) this.tell(rank, digests);
  }

  /** Ranks that hold tensors and have not reported their digests. Equal on all ranks that gathered the same metas. */
  get silentRanks(): readonly number[] {
    return this.#known.metas
      .filter(({ rank, tensors }) => tensors.length > 0 && !this.#told.has(rank))
      .map(({ rank }) => rank);
  }

  /** By rank, the digests that all ranks know. */
  get told(): ReadonlyMap<number, BlockDigests> {
    return new Map([...this.#told].map(([rank, { digests }]) => [rank, digests]));
  }

  /** Takes the digests of a rank. Ignores digests that do not fit its tensors. */
  tell(rank: number, digests: BlockDigests): void {
    const metas = this.#known.metas.find((each) => each.rank === rank);
    if (metas === undefined) return;
    const told = RankDigests.of(metas, digests);
    if (told !== undefined) this.#told.set(rank, told);
  }

  /** The digests of one rank's tensors that all ranks know. */
  toldBy(rank: number): RankDigests | undefined {
    return this.#told.get(rank);
  }

  /** The digests of a tensor that all ranks know, without those that only this rank has read. */
  toldOf(name: string): ExpectedTensor | undefined {
    const holder = this.#holders.get(name);
    return holder && this.#told.has(holder.metas.rank) ? this.#tensorAt(holder) : undefined;
  }

  /** The digests of a tensor that this rank knows. */
  of(name: string): ExpectedTensor | undefined {
    const holder = this.#holders.get(name);
    if (holder === undefined) return undefined;
    const { own } = this.#known;
    if (own?.rank !== holder.metas.rank) return this.#tensorAt(holder);
    const { metas, index } = holder;
    const { book } = own;
    return { meta: metas.tensors[index]!, blockBytes: book.blockBytes, block: (block) => book.block(index, block) };
  }

  #tensorAt({ metas, index }: Holder): ExpectedTensor | undefined {
    const told = this.#told.get(metas.rank);
    if (told === undefined) return undefined;
    return { meta: metas.tensors[index]!, blockBytes: told.blockBytes, block: (block) => told.block(index, block) };
  }
}

const known = new WeakMap<readonly RankMetas[], ReadonlyMap<string, Holder>>();

/** The holder of each tensor. Computed once for the same metas. */
function holdersOf(world: readonly RankMetas[]): ReadonlyMap<string, Holder> {
  let holders = known.get(world);
  if (holders === undefined) {
    holders = new Map(
      world.flatMap((metas) => metas.tensors.map(({ name }, index) => [name, { metas, index }] as const)),
    );
    known.set(world, holders);
  }
  return holders;
}
