import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { checkUniqueTensors } from '@checkpoint-engine/planner';
import type { WorldMetas } from '../api.ts';
import { checkSameCheckpoint } from '../sources/holder-index.ts';
import { checkMetas, checkpointOf, type GatheredMetas } from './gathered-metas.ts';

/** The metas for an update, and further sources of the same bytes. */
export interface UpdateMetas extends GatheredMetas {
  readonly fallbacks: readonly WorldMetas[];
}

/** The metas that a rank knows, by checkpoint: those that were gathered or loaded last. */
export class KnownMetas {
  readonly #rank: number;
  readonly #byCheckpoint = new Map<string, UpdateMetas>();

  constructor(rank: number) {
    this.#rank = rank;
  }

  /** @throws `CE_METAS_MISSING` */
  get(checkpoint: string): UpdateMetas {
    const known = this.#byCheckpoint.get(checkpoint);
    if (known !== undefined) return known;
    throw new CheckpointEngineError(
      'CE_METAS_MISSING',
      `The metas of checkpoint "${checkpoint}" have not been gathered at rank ${this.#rank}`,
      'Call gatherMetas on all ranks after registration, and again after each registration',
      { rank: this.#rank },
    );
  }

  /** Stores the metas that the ranks of this world exchanged. */
  setGathered(checkpoint: string, gathered: GatheredMetas): void {
    this.#byCheckpoint.set(checkpoint, { ...gathered, fallbacks: [] });
  }

  /** Stores metas of another world. @throws `CE_TENSOR_DUPLICATE`, `CE_METAS_INVALID`, `CE_CHECKPOINT_EMPTY` */
  load(metas: WorldMetas, fallbacks: readonly WorldMetas[]): void {
    const checked = checkMetas(metas);
    for (const fallback of fallbacks) {
      checkUniqueTensors(fallback);
      checkSameCheckpoint(metas, fallback);
    }
    this.#byCheckpoint.set(checkpointOf(metas), { ...checked, fallbacks });
  }

  forget(checkpoint: string): void {
    this.#byCheckpoint.delete(checkpoint);
  }
}
