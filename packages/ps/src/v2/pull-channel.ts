import {
  checkNeeds,
  decodeDigests,
  decodeU64,
  encodePlaces,
  encodeU32,
  encodeU64,
  type Places,
  PULL_PART_LIMITS,
  type PullOffer,
  readNeedsSummary,
  type ServerMessage,
  type Windows,
  WORKER_PROTOCOL_VERSION,
  WORKER_PULL_VERSION,
  type WorkerProved,
  type WorkerPulled,
} from '@checkpoint-engine/interface';
import type {
  HeldDigests,
  PullChannel,
  PullLayout,
  RegionHold,
  SurveyAnswer,
  SurveyQuestion,
} from '../pull-channel.ts';
import type { SessionCallOptions, SessionOptions } from '../session.ts';
import { workerBroke } from './errors.ts';
import type { ReceivedMessage } from './frames.ts';
import { NeedsParts, type ReceivedNeeds } from './needs-parts.ts';
import { metasMessages, regionsMessages } from './pull-messages.ts';

/** The parts of a session that {@link PullChannelV2} uses. */
export interface ChannelParts {
  readonly session: SessionOptions;
  /** The worker's first message. */
  hello(options: SessionCallOptions): Promise<ReceivedMessage>;
  send(message: ServerMessage): void;
  reply(name: string, whatFor: string, options: SessionCallOptions): Promise<ReceivedMessage>;
  hold(): RegionHold;
}

/** Pulling, over protocol 2. */
export class PullChannelV2 implements PullChannel {
  readonly #parts: ChannelParts;
  readonly #needs = new NeedsParts();
  #received: ReceivedNeeds | undefined;
  #nextIndex = 0;
  #nextDigest = 0;
  #isOffered = false;

  constructor(parts: ChannelParts) {
    this.#parts = parts;
  }

  /** Takes one part of the worker's needs. @returns Whether it was the last. @throws {RangeError} It is malformed. */
  takeNeeds(message: ReceivedMessage): boolean {
    this.#received = this.#needs.take(message);
    return this.#received !== undefined;
  }

  async survey(question: SurveyQuestion, options: SessionCallOptions): Promise<SurveyAnswer | undefined> {
    const { session, hello, send, reply } = this.#parts;
    const { pull } = await hello(options);
    if (!isOffer(pull)) return undefined;
    this.#isOffered = true;
    const { checkpoint, updateId, rank, deviceKind, deviceUuid } = session;
    const sizesBytes = Float64Array.from(question.tensors, ({ sizeBytes }) => sizeBytes);
    // Wait for both from now on: they may arrive together.
    const surveying = reply('surveyed', 'report what it knows', options);
    const telling = reply('needs', 'report what it needs', options);
    telling.catch(() => {});
    send({
      ...{ type: 'survey', protocol: WORKER_PROTOCOL_VERSION, intent: question.intent, checkpoint, updateId, rank },
      ...{ deviceKind, deviceUuid },
      ...{ metasDigest: question.metasDigest, tensorCount: sizesBytes.length, version: question.version },
    });
    const { known, proved, fingerprint, holds } = await surveying;
    if (known !== true) for (const message of metasMessages(question.tensors)) send(message);
    await telling;
    const { needs, digest, summary } = this.#received!;
    try {
      checkNeeds(needs, sizesBytes);
    } catch (error) {
      throw workerBroke(session, (error as Error).message, WORKER_PROTOCOL_VERSION, error as Error);
    }
    return {
      ...{ needs, needsDigest: digest, summary, proved: proved === true },
      fingerprint: typeof fingerprint === 'string' ? fingerprint : '',
      provesParts: (pull as PullOffer).provesParts === true,
      digests: (pull as PullOffer).digests === true,
      holds: typeof holds === 'string' ? holds : undefined,
    };
  }

  async map(layout: PullLayout, options: SessionCallOptions): Promise<void> {
    const { send, reply, session } = this.#parts;
    for (const withPlaces of [false, true]) {
      for (const message of regionsMessages(layout, withPlaces)) send(message);
      const { needPlaces } = await reply('mapped', 'map the regions', options);
      if (needPlaces !== true) return;
    }
    throw workerBroke(session, 'a "mapped" that asks for places a second time', WORKER_PROTOCOL_VERSION);
  }

  async pull(places: Places | undefined, options: SessionCallOptions): Promise<WorkerPulled> {
    const index = this.#nextIndex++;
    const { send, reply } = this.#parts;
    send({ type: 'pull', index, places: places && encodePlaces(places) });
    const { bytes, durationMs } = await reply(`pulled ${index}`, 'pull what it needs', options);
    return { type: 'pulled', index, bytes: amount(bytes), durationMs: amount(durationMs) };
  }

  async prove(places: Places | undefined, more: boolean, options: SessionCallOptions): Promise<WorkerProved> {
    const columns = places && encodePlaces(places);
    this.#parts.send({ type: 'prove', places: columns, ...(more ? { more } : {}) });
    const { proved, summary } = await this.#parts.reply('proved', 'compare what it holds', options);
    return { type: 'proved', proved: proved === true, summary: readNeedsSummary(summary) ?? readNeedsSummary({})! };
  }

  async digest(windows: Windows, options: SessionCallOptions): Promise<HeldDigests> {
    const count = windows.tensor.length;
    const digests = new BigUint64Array(count);
    const bytes = new Float64Array(count);
    for (let from = 0; from < count; from += PULL_PART_LIMITS.windows) {
      const range = [from, Math.min(count, from + PULL_PART_LIMITS.windows)] as const;
      const part = await this.#digestPart(windows, range, options);
      digests.set(part.digests, from);
      bytes.set(part.bytes, from);
    }
    return { digests, bytes };
  }

  async #digestPart(
    { tensor, offsetBytes, sizeBytes }: Windows,
    range: readonly [from: number, to: number],
    options: SessionCallOptions,
  ): Promise<HeldDigests> {
    const { send, reply, session } = this.#parts;
    const index = this.#nextDigest++;
    send({
      ...{ type: 'digest', index },
      tensor: encodeU32(tensor.subarray(...range)),
      offset: encodeU64(offsetBytes.subarray(...range)),
      size: encodeU64(sizeBytes.subarray(...range)),
    });
    const answer = await reply(`digested ${index}`, 'digest what it holds', options);
    const count = range[1] - range[0];
    try {
      const digests = decodeDigests(answer.digest as Uint8Array);
      const bytes = decodeU64(answer.bytes as Uint8Array);
      if (digests.length !== count || bytes.length !== count)
        throw new RangeError(`digests of ${digests.length} windows`);
      return { digests, bytes };
    } catch (error) {
      throw workerBroke(
        session,
        `a "digested" whose columns do not have ${count} digests`,
        WORKER_PROTOCOL_VERSION,
        error as Error,
      );
    }
  }

  bye(keep: boolean): RegionHold | undefined {
    if (!this.#isOffered) return undefined;
    this.#parts.send({ type: 'bye', keep });
    return keep ? this.#parts.hold() : undefined;
  }
}

const isOffer = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'version' in value && value.version === WORKER_PULL_VERSION;

const amount = (value: unknown): number => (typeof value === 'number' && value >= 0 ? value : 0);
