import {
  checkPlaces,
  decodePlaces,
  decodeWindows,
  encodeDigests,
  encodeU32,
  encodeU64,
  type Needs,
  type NeedsSummary,
  type Places,
  PULL_PART_LIMITS,
  type ServerDigest,
  type ServerMessage,
  type ServerMetas,
  type ServerProve,
  type ServerPull,
  type ServerRegions,
  type ServerSurvey,
  type Windows,
  type WorkerNeeds,
} from '@checkpoint-engine/interface';
import type { ServerLink } from '../server-link.ts';
import { serverBroke } from '../server-message.ts';
import { JoinedParts } from './joined-parts.ts';
import type { CheckpointTensor } from './kept-slice.ts';
import type { Puller } from './puller.ts';

/** Bytes of a box in the columns of needs. */
const BOX_BYTES = 4 + 4 * 8;

/** The part of a session that handles pulling: needs, places and copies. */
export class PullSession {
  readonly #link: ServerLink;
  readonly #puller: Puller;
  readonly #session: number;
  readonly #survey: ServerSurvey;
  readonly #metas: JoinedParts<ServerMetas>;
  readonly #regions: JoinedParts<ServerRegions>;
  #working: Promise<unknown> = Promise.resolve();
  #regionSizes: ReadonlyMap<number, number> = new Map();
  #isMapped = false;
  #nextIndex = 0;
  #nextDigest = 0;

  /** @param session The puller's object for this session. */
  constructor(link: ServerLink, puller: Puller, session: number, survey: ServerSurvey) {
    this.#session = session;
    this.#link = link;
    this.#puller = puller;
    this.#survey = survey;
    this.#metas = new JoinedParts('metas');
    this.#regions = new JoinedParts('regions');
  }

  /** The purpose of the session. */
  get intent(): ServerSurvey['intent'] {
    return this.#survey.intent;
  }

  /**
   * Sends the needs and maps the memory that the server shares.
   *
   * @returns The first message that does not belong to this part of the session.
   * @throws The error that ended the link; `CE_WORKER_PROTOCOL`, `CE_SHM_FAILED`.
   */
  async negotiate(): Promise<ServerMessage> {
    const { metasDigest } = this.#survey;
    const puller = this.#puller;
    if (this.intent === 'verify') puller.checkVerifiable();
    const known = puller.hasDeclared(metasDigest);
    const { fingerprint } = puller;
    const isProved = puller.isProved(metasDigest);
    this.#link.send({ type: 'surveyed', known, proved: isProved, fingerprint });
    if (known) this.#sendNeeds();
    for (;;) {
      const message = await this.#link.receive();
      if (message.type === 'metas') await this.#learn(message, known);
      else if (message.type === 'regions') await this.#map(message);
      else if (puller.hasDeclared(metasDigest)) return message;
      else throw serverBroke(`"${message.type}" before its metas`);
    }
  }

  /** Copies the data that the server announces, and acknowledges it. */
  async pull({ index, places: columns }: ServerPull): Promise<void> {
    if (!this.#isMapped || index !== this.#nextIndex) throw serverBroke(`pull ${index} out of order`);
    this.#nextIndex += 1;
    const places = columns && this.#places(columns);
    const startMs = performance.now();
    const pulling = this.#puller.pull(places);
    this.#working = pulling.catch(() => {});
    const bytes = await pulling;
    this.#link.send({ type: 'pulled', index, bytes, durationMs: performance.now() - startMs });
  }

  /** Compares the loaded data with the shared data, and sends the result. */
  async prove({ places: columns, more = false }: ServerProve): Promise<void> {
    if (!this.#isMapped) throw serverBroke('"prove" before its regions');
    const proving = this.#puller.prove(columns && this.#places(columns), more);
    this.#working = proving.catch(() => {});
    const proved = await proving;
    this.#link.send({ type: 'proved', proved, summary: this.#puller.summary });
  }

  /** Sends the digests of the engine's data. */
  async digest({ index, ...columns }: ServerDigest): Promise<void> {
    if (index !== this.#nextDigest) throw serverBroke(`digest ${index} out of order`);
    this.#nextDigest += 1;
    const digesting = this.#puller.digest(this.#windows(columns));
    this.#working = digesting.catch(() => {});
    const { digests, bytes } = await digesting;
    this.#link.send({ type: 'digested', index, digest: encodeDigests(digests), bytes: encodeU64(bytes) });
  }

  /** Unmaps all regions when no copy reads them any longer, and notifies the server. */
  async abort(): Promise<void> {
    if (this.intent !== 'verify') await this.#puller.abort(this.#session);
    await this.#working;
    this.#link.send({ type: 'aborted' });
  }

  /** Ends a successful session: remaining regions are unmapped when the server disconnects. */
  bye(keep: boolean): void {
    if (this.intent === 'verify') return;
    if (!keep || !this.#isMapped) this.#puller.unmap();
    else this.#puller.hold(this.#link);
  }

  async #learn(message: ServerMetas, wasKnown: boolean): Promise<void> {
    const { metasDigest, tensorCount } = this.#survey;
    if (wasKnown) throw serverBroke('metas that this worker already hasDeclared');
    const parts = this.#metas.take(message);
    if (parts === undefined) return;
    const tensors: CheckpointTensor[] = [];
    for (const { names, dtypes, shapes, sizes } of parts) {
      for (const [at, name] of names.entries()) {
        tensors.push({ name, dtype: dtypes[at]!, shape: shapes[at]!, sizeBytes: sizes[at]! });
      }
    }
    if (tensors.length !== tensorCount) {
      throw serverBroke(`metas of ${tensors.length} tensors, but announced ${tensorCount}`);
    }
    if (this.intent === 'verify') throw this.#puller.otherTensors(tensors);
    await this.#puller.learn(metasDigest, tensors);
    this.#sendNeeds();
  }

  async #map(message: ServerRegions): Promise<void> {
    const parts = this.#regions.take(message);
    if (parts === undefined) return;
    const { layoutDigest, regions } = message;
    this.#regionSizes = new Map(regions.map(({ id, sizeBytes }) => [id, sizeBytes]));
    if (this.#regionSizes.size < regions.length) throw serverBroke('two regions with the same id');
    const columns = parts.flatMap(({ places }) => places ?? []);
    const places = columns.length > 0 ? this.#places(joined(columns)) : undefined;
    this.#isMapped = await this.#puller.map(layoutDigest, regions, places);
    this.#link.send({ type: 'mapped', needPlaces: !this.#isMapped });
  }

  #windows(columns: Parameters<typeof decodeWindows>[0]): Windows {
    try {
      return decodeWindows(columns, this.#puller.sizesBytes);
    } catch (error) {
      throw serverBroke((error as Error).message, undefined, error);
    }
  }

  #places(columns: NonNullable<ServerPull['places']>): Places {
    try {
      const places = decodePlaces(columns);
      checkPlaces(places, this.#puller.sizesBytes, this.#regionSizes);
      return places;
    } catch (error) {
      throw serverBroke((error as Error).message, undefined, error);
    }
  }

  #sendNeeds(): void {
    const { needs, summary } = this.#puller.needs();
    for (const message of partsOf(needs, summary)) this.#link.send(message);
  }
}

function* partsOf(needs: Needs, summary: NeedsSummary): Generator<WorkerNeeds> {
  const { tensor, offsetBytes, rows, rowBytes, pitchBytes, rest } = needs;
  const boxes = Math.floor(PULL_PART_LIMITS.fromWorkerBytes / BOX_BYTES);
  const tensors = PULL_PART_LIMITS.fromWorkerBytes / 4;
  const boxParts = Math.ceil(tensor.length / boxes);
  const parts = Math.max(1, boxParts + Math.ceil(rest.length / tensors));
  for (let part = 0; part < parts; part++) {
    const from = Math.min(part, boxParts) * boxes;
    const to = Math.min(part + 1, boxParts) * boxes;
    const restFrom = Math.max(0, part - boxParts) * tensors;
    yield {
      ...{ type: 'needs', part, parts },
      tensor: encodeU32(tensor.subarray(from, to)),
      offset: encodeU64(offsetBytes.subarray(from, to)),
      rows: encodeU64(rows.subarray(from, to)),
      rowBytes: encodeU64(rowBytes.subarray(from, to)),
      pitch: encodeU64(pitchBytes.subarray(from, to)),
      rest: encodeU32(part < boxParts ? [] : rest.subarray(restFrom, restFrom + tensors)),
      summary: part === parts - 1 ? summary : undefined,
    };
  }
}

function joined(columns: readonly NonNullable<ServerPull['places']>[]): NonNullable<ServerPull['places']> {
  const join = (pick: (one: (typeof columns)[number]) => Uint8Array): Uint8Array => {
    const pieces = columns.map(pick);
    const bytes = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.byteLength;
    }
    return bytes;
  };
  return {
    tensor: join(({ tensor }) => tensor),
    tensorOffset: join(({ tensorOffset }) => tensorOffset),
    size: join(({ size }) => size),
    region: join(({ region }) => region),
    offset: join(({ offset }) => offset),
  };
}
