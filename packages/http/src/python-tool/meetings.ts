import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { RequestError } from '../problem.ts';

/** Options of {@link Meetings}. */
export interface MeetingsOptions<Call> {
  readonly worldSize: number;
  /** Name of the request in messages: `update`. */
  readonly what: string;
  /** Runs when all ranks have received the request. */
  readonly run: (name: string, calls: ReadonlyMap<number, Call>) => Promise<void>;
  readonly logger: Logger;
}

/** Time limit for the requests of the other ranks: the default of a torch process group. */
const MEET_MS = 600_000;
/** After this time the log says which ranks are missing. */
const LATE_MS = 10_000;

/**
 * Joins the requests that a client of the Python tool sends to every rank: the operation runs once, when the last
 * request has arrived, and all requests get its result. A rank that aborts its request leaves the meeting.
 */
export class Meetings<Call> {
  readonly #options: MeetingsOptions<Call>;
  readonly #open = new Map<string, Meeting<Call>>();

  constructor(options: MeetingsOptions<Call>) {
    this.#options = options;
  }

  /** @throws The failure of the run; `CE_TIMEOUT` if a rank is not asked in time; the signal's reason. */
  async join(name: string, rank: number, call: Call, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const meeting = this.#open.get(name) ?? this.#begin(name);
    if (meeting.calls.has(rank)) {
      const { what } = this.#options;
      throw new RequestError(
        409,
        `Rank ${rank} already has a request for "${what}" that waits for the other ranks`,
        'Send the request to each rank once',
      );
    }
    meeting.calls.set(rank, call);
    if (meeting.calls.size === this.#options.worldSize) {
      this.#end(meeting);
      this.#options.run(name, meeting.calls).then(meeting.resolve, meeting.reject);
    }
    try {
      await untilAborted(meeting.done, signal);
    } finally {
      if (this.#open.get(name) === meeting) {
        meeting.calls.delete(rank);
        if (meeting.calls.size === 0) this.#end(meeting);
      }
    }
  }

  #begin(name: string): Meeting<Call> {
    const { what, logger } = this.#options;
    const { promise: done, resolve, reject } = settleable();
    const about = () => ({ checkpoint: name, call: what, missingRanks: this.#missing(meeting) });
    const late = setTimeout(() => logger.warn(about(), 'Some ranks have not received the request'), LATE_MS);
    const limit = setTimeout(() => {
      this.#end(meeting);
      reject(this.#notAsked(meeting));
    }, MEET_MS);
    const meeting: Meeting<Call> = { name, calls: new Map(), done, resolve, reject, timers: [late, limit] };
    this.#open.set(name, meeting);
    return meeting;
  }

  #end({ name, timers }: Meeting<Call>): void {
    for (const timer of timers) clearTimeout(timer);
    this.#open.delete(name);
  }

  #missing({ calls }: Meeting<Call>): number[] {
    return Array.from({ length: this.#options.worldSize }, (_, rank) => rank).filter((rank) => !calls.has(rank));
  }

  #notAsked(meeting: Meeting<Call>): CheckpointEngineError {
    const missing = this.#missing(meeting);
    return new CheckpointEngineError(
      'CE_TIMEOUT',
      `Ranks [${missing.join(', ')}] received no request for "${this.#options.what}" of checkpoint "${meeting.name}" within ${MEET_MS} ms`,
      'Send the request to every rank at the same time',
      { rank: missing[0], retryable: true },
    );
  }
}

interface Meeting<Call> {
  readonly name: string;
  readonly calls: Map<number, Call>;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  readonly timers: readonly NodeJS.Timeout[];
}

function settleable(): { promise: Promise<void>; resolve: () => void; reject: (reason: unknown) => void } {
  let resolve!: () => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<void>((onDone, onFailed) => {
    resolve = onDone;
    reject = onFailed;
  });
  // No caller may be left to handle this failure.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
