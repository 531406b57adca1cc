import type { CheckpointView, ShareState, ShareView } from '@checkpoint-engine/http';
import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';
import type { RankRegisterRequest } from '../config/requests.ts';
import type { RegisteredFiles } from '../process/messages.ts';

/** One rank's share of a checkpoint. */
interface Share {
  state: ShareState;
  tensorCount: number;
  sizeBytes: number;
  poolBytes: number;
  fingerprint: string | undefined;
  error: SerializedError | undefined;
}

const WORST_FIRST: readonly ShareState[] = ['lost', 'registering', 'loading', 'registered'];

/** A checkpoint of a served world: its files, and the share of each rank. */
export class CatalogEntry {
  readonly name: string;
  /** Equal on all ranks. Absent if only metas were imported, or if ranks have their own files. */
  readonly request: RankRegisterRequest | undefined;
  /** Time-out of reading the files. */
  readonly timeoutMs: number;
  isUpdating = false;
  /** Whether its registration is in progress. */
  isRegistering: boolean;
  /** Whether metas were gathered or imported. */
  hasMetas = false;
  /** Metas were gathered before, but a rank was restarted since. */
  mustGather = false;
  /** Metas of another world, encoded. */
  importedMetas: Uint8Array | undefined;
  /** The version that the last update brought. A rank that was restarted does not know it. */
  broughtVersion: string | undefined;
  #importedVersion: string | undefined;
  /** Aborts its registration. */
  readonly registration: AbortController = new AbortController();
  readonly #shares = new Map<number, Share>();
  /** Registrations of single ranks, by rank. */
  readonly #own = new Map<number, RankRegisterRequest>();
  #warnings: readonly string[] = [];

  constructor(name: string, request: RankRegisterRequest | undefined, worldSize: number, timeoutMs: number) {
    this.name = name;
    this.request = request;
    this.timeoutMs = timeoutMs;
    this.isRegistering = request !== undefined;
    if (!request) return;
    for (let rank = 0; rank < worldSize; rank++) this.#shares.set(rank, newShare());
  }

  /** Registrations that a restarted rank must repeat. */
  requestOf(rank: number): RankRegisterRequest | undefined {
    return this.#own.get(rank) ?? this.request;
  }

  /** Records that a rank begins to register its own files. @throws `CE_CHECKPOINT_EXISTS` */
  beginAt(rank: number): void {
    if (this.request !== undefined || this.#shares.has(rank)) throw exists(this.name, rank);
    this.#shares.set(rank, newShare());
  }

  /** Records that a rank has registered its own files. Metas that were gathered before do not include them. */
  noteRegisteredAt(rank: number, request: RankRegisterRequest, registered: RegisteredFiles): void {
    this.#own.set(rank, request);
    this.noteRegistered(rank, registered, false);
    this.mustGather ||= this.hasMetas && this.importedMetas === undefined;
  }

  /** The state of a rank's share; `undefined` if it has none. */
  stateAt(rank: number): ShareState | undefined {
    return this.#shares.get(rank)?.state;
  }

  /** Records that a rank has released its share. @returns Whether any share of the checkpoint is left. */
  dropAt(rank: number): boolean {
    this.#shares.delete(rank);
    this.#own.delete(rank);
    return this.#shares.size > 0 || this.importedMetas !== undefined;
  }

  get state(): ShareState {
    const states = [...this.#shares.values()].map(({ state }) => state);
    return WORST_FIRST.find((state) => states.includes(state)) ?? 'registered';
  }

  /**
   * Records that a rank has registered its share, or knows its contents while it still reads in the background.
   *
   * @throws `CE_FILE_CHANGED`: a restarted rank found different files.
   */
  noteRegistered(rank: number, registered: RegisteredFiles, isLoading: boolean): void {
    const { tensorCount, sizeBytes, poolBytes, fingerprint, warnings } = registered;
    const share = this.#shares.get(rank)!;
    if (share.fingerprint !== undefined && share.fingerprint !== fingerprint) throw changed(this.name, rank);
    const state: ShareState = isLoading ? 'loading' : 'registered';
    this.isRegistering = isLoading;
    Object.assign(share, { state, tensorCount, sizeBytes, poolBytes, fingerprint, error: undefined });
    // Every rank reads the same files.
    this.#warnings = [...new Set([...this.#warnings, ...warnings])];
  }

  /** Everything that was read in the background is in host memory, so peers can learn its location. */
  noteLoaded(): void {
    for (const share of this.#shares.values()) if (share.state === 'loading') share.state = 'registered';
    this.isRegistering = false;
    this.mustGather ||= this.hasMetas;
  }

  noteGathered(): void {
    this.hasMetas = true;
    this.mustGather = false;
    this.importedMetas = undefined;
    this.#importedVersion = undefined;
  }

  /** @param weightVersion Of the world that holds the weights. */
  noteImported(metas: Uint8Array, weightVersion: string | undefined): void {
    this.#importedVersion = weightVersion;
    this.broughtVersion = undefined;
    this.hasMetas = true;
    this.mustGather = false;
    this.importedMetas = metas;
  }

  /** A restarted rank has no metas. */
  noteRankLost(): void {
    this.mustGather = this.hasMetas && this.importedMetas === undefined;
  }

  noteLost(rank: number, error: CheckpointEngineError): void {
    Object.assign(this.#shares.get(rank)!, { state: 'lost', poolBytes: 0, error: error.toJSON() });
  }

  /** Reading in the background failed. */
  noteFailed(error: CheckpointEngineError): void {
    this.isRegistering = false;
    for (const rank of this.#shares.keys()) this.noteLost(rank, error);
  }

  /** @throws `CE_CHECKPOINT_LOST`, `CE_CHECKPOINT_BUSY` while it registers. */
  checkWhole(): void {
    for (const [rank, { state, error }] of this.#shares) {
      if (state === 'lost') {
        throw new CheckpointEngineError(
          'CE_CHECKPOINT_LOST',
          `Rank ${rank} lost its share of checkpoint "${this.name}": ${error?.message ?? 'the rank was restarted'}`,
          'Delete the checkpoint and register it again',
          { rank, cause: error && CheckpointEngineError.fromJSON(error) },
        );
      }
    }
    if (this.state === 'registering') {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_BUSY',
        `Checkpoint "${this.name}" is being registered`,
        'Wait until its registration has ended',
        { retryable: true },
      );
    }
  }

  get #ownFiles(): readonly string[] | undefined {
    return this.#own.size === 0 ? undefined : [...new Set([...this.#own.values()].flatMap(({ files }) => files))];
  }

  view(): CheckpointView {
    const ranks = [...this.#shares].map(([rank, { fingerprint, ...share }]): ShareView => ({ rank, ...share }));
    return {
      name: this.name,
      weightVersion: this.#importedVersion ?? this.request?.weightVersion,
      state: this.state,
      files: this.request?.files ?? this.#ownFiles,
      hasMetas: this.hasMetas,
      tensorCount: ranks.reduce((sum, { tensorCount }) => sum + tensorCount, 0),
      sizeBytes: ranks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      warnings: this.#warnings,
      ranks,
    };
  }
}

/** The checkpoints of a served world. */
export class Catalog {
  readonly #entries = new Map<string, CatalogEntry>();

  get all(): readonly CatalogEntry[] {
    return [...this.#entries.values()];
  }

  find(name: string): CatalogEntry | undefined {
    return this.#entries.get(name);
  }

  /** @throws `CE_CHECKPOINT_UNKNOWN` */
  get(name: string): CatalogEntry {
    const entry = this.find(name);
    if (entry) return entry;
    throw new CheckpointEngineError(
      'CE_CHECKPOINT_UNKNOWN',
      `Unknown checkpoint "${name}"; registered checkpoints: ${JSON.stringify([...this.#entries.keys()])}`,
      'Register it first',
    );
  }

  /** @throws `CE_CHECKPOINT_EXISTS` */
  add(entry: CatalogEntry): void {
    if (this.#entries.has(entry.name)) throw exists(entry.name);
    this.#entries.set(entry.name, entry);
  }

  getOrAdd(name: string, make: () => CatalogEntry): CatalogEntry {
    const entry = this.#entries.get(name) ?? make();
    this.#entries.set(name, entry);
    return entry;
  }

  delete(entry: CatalogEntry): void {
    if (this.#entries.get(entry.name) === entry) this.#entries.delete(entry.name);
  }
}

function newShare(): Share {
  const nothing = { tensorCount: 0, sizeBytes: 0, poolBytes: 0, fingerprint: undefined, error: undefined };
  return { state: 'registering', ...nothing };
}

function exists(name: string, rank?: number): CheckpointEngineError {
  const where = rank === undefined ? '' : ` at rank ${rank}`;
  return new CheckpointEngineError(
    'CE_CHECKPOINT_EXISTS',
    `Checkpoint "${name}" is already registered${where}`,
    'Delete it first, or use another name',
    { rank },
  );
}

function changed(name: string, rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_FILE_CHANGED',
    `The files of checkpoint "${name}" have changed since its registration`,
    'Delete the checkpoint and register it again',
    { rank },
  );
}
