import type { Device, Logger, P2PEndpoint, Store } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import type { RankMetas } from '@checkpoint-engine/meta';
import type { WorldMetas } from '../api.ts';
import type { Checkpoints } from '../pool/checkpoints.ts';
import { derivedVersion } from './derived-version.ts';
import { exchangeFiles } from './exchange-files.ts';
import { gatherMetas } from './gather-metas.ts';
import { checkpointOf, withDigests, withVersion } from './gathered-metas.ts';
import { KnownMetas, type UpdateMetas } from './known-metas.ts';
import { isAt, metasAt, type RankPlace } from './rank-place.ts';
import { type SeenFiles, seenFiles } from './seen-files.ts';
import { warnOfSplitGroups } from './warn-of-split-groups.ts';

/** The parts of a rank that describe it to others. */
export interface DescribedRank {
  readonly store: Store;
  readonly device: Pick<Device, 'uuid'>;
  readonly logger: Logger;
  readonly p2p: { readonly endpoint: P2PEndpoint } | undefined;
  readonly host: string;
  readonly nics: readonly string[];
}

/** Options of {@link CheckpointMetas.gather}: see `ParameterServer.gatherMetas`. */
export interface GatherOptions {
  readonly untilDigested?: boolean;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The metas of an update, and where they come from. */
export interface KnownCheckpoint extends UpdateMetas {
  /** Version that the checkpoint was given, or from its bytes. */
  readonly weightVersion: string | undefined;
  /** The metas are those of another world. */
  readonly isForeign: boolean;
}

/** What a rank knows about checkpoints of all ranks: their metas, as gathered or loaded last, and their versions. */
export class CheckpointMetas {
  readonly #rank: DescribedRank;
  readonly #checkpoints: Checkpoints;
  readonly #known: KnownMetas;
  /** Versions from the registration of checkpoints. */
  readonly #given = new Map<string, string>();
  /** Versions that the last updates of checkpoints brought. */
  readonly #brought = new Map<string, string>();
  /** Known once this rank has sent it to others. */
  #p2pAddress: string | undefined;

  constructor(rank: DescribedRank, checkpoints: Checkpoints) {
    this.#rank = rank;
    this.#checkpoints = checkpoints;
    this.#known = new KnownMetas(rank.store.rank);
  }

  /** Exchanges what each rank holds. @throws As `ParameterServer.gatherMetas`. */
  async gather(name: string, options: GatherOptions): Promise<void> {
    const own = async (): Promise<RankMetas> => {
      const entry = this.#checkpoints.get(name);
      if (options.untilDigested) await untilAborted(entry.held.digesting ?? Promise.resolve(), options.signal);
      await this.#checkpoints.offer(entry);
      this.#p2pAddress ??= await this.#rank.p2p?.endpoint.address();
      return metasAt(this.#place, name, entry);
    };
    const files = (): SeenFiles | undefined => {
      const { sharedFiles } = this.#checkpoints.get(name).held;
      return sharedFiles && { host: this.#place.host, files: seenFiles(sharedFiles) };
    };
    const { store, logger } = this.#rank;
    await exchangeFiles(store, name, files, options);
    const gathered = await gatherMetas(store, name, own, options);
    this.#known.setGathered(name, gathered);
    // Sorting all tensors here saves time in updates.
    derivedVersion(gathered);
    if (store.rank === 0) warnOfSplitGroups(name, gathered.metas, logger);
  }

  /** Takes metas of another world. @throws `CE_TENSOR_DUPLICATE`, `CE_METAS_INVALID`, `CE_CHECKPOINT_EMPTY` */
  load(metas: WorldMetas, fallbacks: readonly WorldMetas[]): void {
    this.#known.load(metas, fallbacks);
    this.#brought.delete(checkpointOf(metas));
  }

  /** The metas with their digests, and the version of the last update or of the registration. @throws `CE_METAS_MISSING` */
  get(name: string): WorldMetas {
    const { metas, digests } = this.#known.get(name);
    const weightVersion = this.#brought.get(name) ?? this.#givenVersion(name, metas);
    return withVersion(withDigests(metas, digests), weightVersion);
  }

  /** The metas as an update uses them. @throws `CE_METAS_MISSING` */
  forUpdate(name: string): KnownCheckpoint {
    const known = this.#known.get(name);
    const weightVersion = this.#givenVersion(name, known.metas) ?? derivedVersion(known);
    return { ...known, weightVersion, isForeign: !this.#isOwnWorld(known.metas) };
  }

  /** Forgets the metas and the versions of a checkpoint, and keeps the version that its registration gives it. */
  registered(name: string, weightVersion: string | undefined): void {
    this.forget(name);
    if (weightVersion !== undefined) this.#given.set(name, weightVersion);
  }

  /** Keeps the version that an update brought. */
  updated(name: string, weightVersion: string): void {
    this.#brought.set(name, weightVersion);
  }

  forget(name: string): void {
    this.#known.forget(name);
    this.#given.delete(name);
    this.#brought.delete(name);
  }

  get #place(): RankPlace {
    const { store, device, host, nics } = this.#rank;
    return { rank: store.rank, host, deviceUuid: device.uuid, p2pAddress: this.#p2pAddress, nics };
  }

  /** The version that a checkpoint was given: here, or in the world that holds it. */
  #givenVersion(name: string, metas: WorldMetas): string | undefined {
    return this.#isOwnWorld(metas) ? this.#given.get(name) : metas[0]?.weightVersion;
  }

  /** Whether metas describe this rank's own world, and not another one with a rank of the same number. */
  #isOwnWorld(metas: WorldMetas): boolean {
    const own = metas.find(({ rank }) => rank === this.#rank.store.rank);
    return own !== undefined && this.#checkpoints.has(own.checkpoint) && isAt(own, this.#place);
  }
}
