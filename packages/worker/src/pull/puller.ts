import {
  CheckpointEngineError,
  type Device,
  type Memory,
  type Needs,
  type NeedsSummary,
  type Places,
  type PullIntent,
  type PullRegion,
  type Stream,
  type Windows,
} from '@checkpoint-engine/interface';
import { Comparison } from './comparison.ts';
import type { Declaration } from './declaration.ts';
import { digestsOf, type HeldDigests } from './held-digests.ts';
import { KeptParts } from './kept-parts.ts';
import type { CheckpointTensor } from './kept-slice.ts';
import { otherTensors } from './other-tensors.ts';
import { copiesOf } from './pull-table.ts';
import { RegionMaps } from './region-maps.ts';

/** Options of {@link Puller}. */
export interface PullerOptions {
  /** The engine's device. The caller must close it. */
  readonly device: Device;
  /**
   * Declares which parts of these tensors the engine keeps, and where. Called once for each list of tensors; the memory
   * must not move afterwards.
   */
  readonly declare: (tensors: readonly CheckpointTensor[]) => Declaration | Promise<Declaration>;
  /** Identifies the model and its placement. @default 'declared' */
  readonly fingerprint?: string | undefined;
  /**
   * Take whole tensors until a comparison of the engine's weights with the slices has found them equal. Tensors that
   * differ always arrive complete. @default false
   */
  readonly prove?: boolean | undefined;
}

/** How an engine receives the parts of its model. Plain data. */
export interface PullReport {
  /** Whether the engine has declared what it keeps. */
  readonly recorded: boolean;
  /** Whether parts of the model are pulled. */
  readonly proved: boolean;
  readonly fingerprint: string;
  /** Absent before the engine has declared anything. */
  readonly summary?: NeedsSummary;
}

/** A connection; when it ends, regions do not stay mapped any longer. */
export interface Held {
  readonly closed: Promise<void>;
  end(): Promise<void>;
}

interface Layout {
  readonly digest: string;
  readonly places: Places;
  readonly regions: ReadonlyMap<number, Memory>;
}

/**
 * The parts of checkpoints that an engine keeps. The puller copies them from memory that the parameter server shares
 * directly into the engine's own.
 */
export class Puller {
  readonly fingerprint: string;
  readonly #options: PullerOptions;
  readonly #stream: Stream;
  readonly #maps: RegionMaps;
  #known: KeptParts | undefined;
  #layout: Layout | undefined;
  #held: Held | undefined;
  /** A comparison in progress. */
  #comparison: Comparison | undefined;
  /** Increases with every session: copies of an earlier session then end. */
  #session = 0;
  #copying: Promise<unknown> = Promise.resolve();

  /** Creates a stream of the device; {@link Puller.close} closes it. */
  constructor(options: PullerOptions) {
    this.#options = options;
    this.fingerprint = options.fingerprint ?? 'declared';
    this.#stream = options.device.createStream('pull');
    this.#maps = new RegionMaps(options.device);
  }

  /** Whether a declaration for the list of tensors exists. */
  hasDeclared(metasDigest: string): boolean {
    return this.#known?.metasDigest === metasDigest;
  }

  /** Whether slices of these tensors are pulled, and not only declared. */
  isProved(metasDigest: string): boolean {
    return this.#options.prove !== true || (this.hasDeclared(metasDigest) && this.#known?.isProved === true);
  }

  /** Returns how the parts of the model are received, and why. Changes nothing. */
  report(): PullReport {
    const { fingerprint } = this;
    const known = this.#known;
    if (known === undefined) return { recorded: false, proved: false, fingerprint };
    return { recorded: true, proved: this.isProved(known.metasDigest), fingerprint, summary: this.summary };
  }

  /** Lets the engine declare what it keeps. @throws {RangeError} The declaration exceeds the tensors or its memory. */
  async learn(metasDigest: string, tensors: readonly CheckpointTensor[]): Promise<void> {
    const startMs = performance.now();
    const declaration = await this.#options.declare(tensors);
    const isProved = this.#options.prove !== true;
    this.#known = new KeptParts(metasDigest, tensors, { declaration, startMs, isProved });
  }

  /** Returns the needs: what to transfer, and how. */
  needs(): { readonly needs: Needs; readonly summary: NeedsSummary } {
    const { needs, summary } = this.#get();
    return { needs, summary };
  }

  /** Returns which parts of the model are pulled; a tensor counts as a module. */
  get summary(): NeedsSummary {
    return this.#get().summary;
  }

  /** Sizes of the tensors, by index. */
  get sizesBytes(): readonly number[] {
    return this.#get().tensors.map(({ sizeBytes }) => sizeBytes);
  }

  /**
   * Maps regions; where `places` are not given, those of the same layout are used. @returns Whether they were known.
   */
  async map(digest: string, regions: readonly PullRegion[], places: Places | undefined): Promise<boolean> {
    const known = places ?? (this.#layout?.digest === digest ? this.#layout.places : undefined);
    this.#layout = undefined;
    const mapped = await this.#maps.map(regions);
    if (known === undefined) return false;
    this.#layout = { digest, places: known, regions: mapped };
    return true;
  }

  /** Copies the available data of the layout or of these places. @returns Bytes */
  async pull(places: Places | undefined): Promise<number> {
    const copying = this.#copy(this.#layout!, places);
    this.#copying = copying.catch(() => {});
    return await copying;
  }

  /**
   * Compares the engine's data with the data of the layout, or of these places.
   *
   * @param more Other places follow: the decision depends on the last ones.
   * @returns Whether slices are pulled from now on.
   */
  async prove(places: Places | undefined, more: boolean): Promise<boolean> {
    const known = this.#get();
    const startMs = performance.now();
    const { slices } = known.declaration;
    const layout = this.#layout!;
    this.#comparison ??= new Comparison();
    const comparing = this.#comparison.compare(slices, places ?? layout.places, layout.regions);
    this.#copying = comparing.catch(() => {});
    await comparing;
    known.addProofMs(performance.now() - startMs);
    if (more) return false;
    known.prove(this.#comparison.equalOf(slices));
    this.#comparison = undefined;
    return true;
  }

  /** @throws `CE_NOT_SUPPORTED` It is not known which bytes of a checkpoint the engine holds. */
  checkVerifiable(): void {
    const known = this.#known;
    if (known?.isProved === true) return;
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      known === undefined
        ? 'The engine has received no update through its receiver since it started, so it does not know which bytes of a checkpoint it holds'
        : 'The engine has not compared its weights with a checkpoint since it started, so it does not know which bytes of a checkpoint it holds',
      'Update the engine once with this checkpoint, and then verify it',
    );
  }

  /** The error of a checkpoint whose tensors differ from those that the engine holds. */
  otherTensors(tensors: readonly CheckpointTensor[]): CheckpointEngineError {
    return otherTensors(this.#get().tensors, tensors);
  }

  /** Digests those bytes of windows that the engine holds as they are in their tensors. */
  async digest(windows: Windows): Promise<HeldDigests> {
    const session = this.#session;
    const digesting = digestsOf(this.#get().pulled, windows, () => session === this.#session);
    this.#copying = digesting.catch(() => {});
    return await digesting;
  }

  /** Keeps regions mapped until this connection ends, or until the next session. */
  hold(connection: Held): void {
    this.#endHold();
    this.#held = connection;
    void connection.closed.then(() => {
      if (this.#held === connection) this.unmap();
    });
  }

  /**
   * Begins a session, which takes over the mappings of an earlier one when its copies have ended. A session that
   * verifies leaves them as they are.
   *
   * @returns The number of the session, for {@link Puller.abort}.
   */
  async begin(intent: PullIntent): Promise<number> {
    if (intent === 'verify') return this.#session;
    this.#comparison = undefined;
    this.#endHold();
    const session = this.#stop();
    await this.#copying;
    return session;
  }

  /** Ends the copies of a session, and then unmaps its regions, but not those of a later session. */
  async abort(session: number): Promise<void> {
    if (session !== this.#session) return;
    const stopped = this.#stop();
    await this.#copying;
    if (stopped === this.#session) this.unmap();
  }

  /** Unmaps all regions. */
  unmap(): void {
    this.#endHold();
    this.#layout = undefined;
    this.#maps.close();
  }

  /** Unmaps all regions and ends the stream. Idempotent. */
  async close(): Promise<void> {
    await this.#stream.close();
    this.unmap();
  }

  #stop(): number {
    this.#session += 1;
    return this.#session;
  }

  async #copy(layout: Layout, places: Places | undefined): Promise<number> {
    const session = this.#session;
    let bytes = 0;
    for (const copies of copiesOf(this.#get().pulled, places ?? layout.places, layout.regions)) {
      if (session !== this.#session) throw stopped();
      for (const { from } of copies) bytes += from.sizeBytes;
      await this.#stream.copy(copies);
    }
    return bytes;
  }

  #endHold(): void {
    const held = this.#held;
    this.#held = undefined;
    void held?.end();
  }

  #get(): KeptParts {
    if (this.#known !== undefined) return this.#known;
    throw new TypeError('Declare what the engine keeps before you read it');
  }
}

function stopped(): CheckpointEngineError {
  return new CheckpointEngineError('CE_CLOSED', 'The pull was stopped', 'Run the update again');
}
