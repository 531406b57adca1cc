import type { CheckpointView, ShareState, ShareView } from '@checkpoint-engine/http';
import { CheckpointEngineError, type SerializedError } from '@checkpoint-engine/interface';
import type { RankRegisterRequest } from '../config/jobs.ts';
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

/** A checkpoint of a served world: what it was registered from, and what each rank has of it. */
export class CatalogEntry {
  readonly name: string;
  /** Absent where only metas were imported. */
  readonly job: RankRegisterRequest | undefined;
  /** How long ranks have to read it. */
  readonly timeoutMs: number;
  isUpdating = false;
  /** Its registration has not been answered. */
  isRegistering: boolean;
  /** Gathered or imported. */
  hasMetas = false;
  /** Gathered before, but a rank was restarted since. */
  mustGather = false;
  /** Metas of another world, in base64. */
  importedMetas: string | undefined;
  /** Ends its registration. */
  readonly registration: AbortController = new AbortController();
  readonly #shares = new Map<number, Share>();
  #warnings: readonly string[] = [];

  constructor(name: string, job: RankRegisterRequest | undefined, worldSize: number, timeoutMs: number) {
    this.name = name;
    this.job = job;
    this.timeoutMs = timeoutMs;
    this.isRegistering = job !== undefined;
    if (!job) return;
    for (let rank = 0; rank < worldSize; rank++) {
      this.#shares.set(rank, {
        state: 'registering',
        tensorCount: 0,
        sizeBytes: 0,
        poolBytes: 0,
        fingerprint: undefined,
        error: undefined,
      });
    }
  }

  get state(): ShareState {
    const states = [...this.#shares.values()].map(({ state }) => state);
    return WORST_FIRST.find((state) => states.includes(state)) ?? 'registered';
  }

  /**
   * A rank has its share, or, where it is still read in the background, knows what is in it.
   *
   * @throws `CE_FILE_CHANGED`: a restarted rank found other files than the others have.
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

  /** All that was read in the background is in host memory: peers can be told where. */
  noteLoaded(): void {
    for (const share of this.#shares.values()) if (share.state === 'loading') share.state = 'registered';
    this.isRegistering = false;
    this.mustGather ||= this.hasMetas;
  }

  noteGathered(): void {
    this.hasMetas = true;
    this.mustGather = false;
    this.importedMetas = undefined;
  }

  noteImported(metas: string): void {
    this.hasMetas = true;
    this.mustGather = false;
    this.importedMetas = metas;
  }

  /** A rank that is restarted knows no metas. */
  noteRankLost(): void {
    this.mustGather = this.hasMetas && this.importedMetas === undefined;
  }

  noteLost(rank: number, error: CheckpointEngineError): void {
    Object.assign(this.#shares.get(rank)!, { state: 'lost', poolBytes: 0, error: error.toJSON() });
  }

  /** Its registration failed after it had been answered. */
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
          `Rank ${rank} has lost its share of checkpoint "${this.name}": ${error?.message ?? 'it is gone'}`,
          'Delete the checkpoint and register it again',
          { rank, cause: error && CheckpointEngineError.fromJSON(error) },
        );
      }
    }
    if (this.state === 'registering') {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_BUSY',
        `Checkpoint "${this.name}" is being registered`,
        'Wait until its registration is answered',
        { retryable: true },
      );
    }
  }

  view(): CheckpointView {
    const ranks = [...this.#shares].map(([rank, { fingerprint, ...share }]): ShareView => ({ rank, ...share }));
    return {
      name: this.name,
      state: this.state,
      files: this.job?.files,
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

  /** @throws `CE_CHECKPOINT_UNKNOWN` */
  get(name: string): CatalogEntry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    throw new CheckpointEngineError(
      'CE_CHECKPOINT_UNKNOWN',
      `There is no checkpoint "${name}"; there are ${JSON.stringify([...this.#entries.keys()])}`,
      'Register it first',
    );
  }

  /** @throws `CE_CHECKPOINT_EXISTS` */
  add(entry: CatalogEntry): void {
    if (this.#entries.has(entry.name)) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_EXISTS',
        `Checkpoint "${entry.name}" is registered already`,
        'Delete it first, or use another name',
      );
    }
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

function changed(name: string, rank: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_FILE_CHANGED',
    `The files of checkpoint "${name}" are not those that it was registered from`,
    'Delete the checkpoint and register it again',
    { rank },
  );
}
