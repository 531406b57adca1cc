import { randomUUID } from 'node:crypto';
import { CheckpointEngineError, type Logger, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { Instances } from './instances.ts';
import { RequestError } from './problem.ts';
import { UpdateRecord } from './update-record.ts';
import type { HttpWorld, UpdateEvent, UpdateRequest } from './world.ts';

/** Number of completed updates whose records are kept. */
const KEPT = 100;
/** Maximum number of updates that may wait. */
const MAX_WAITING = 64;

/** The options of {@link Updates}. */
export interface UpdatesOptions {
  readonly world: HttpWorld;
  readonly logger: Logger;
  readonly onEnd: (update: UpdateRecord) => void;
  readonly onEvent?: ((update: UpdateRecord, event: UpdateEvent) => void) | undefined;
}

/** The updates of a world: one runs at a time, and the others wait in order. */
export class Updates {
  readonly instances: Instances;
  readonly #options: UpdatesOptions;
  readonly #records = new Map<string, UpdateRecord>();
  readonly #waiting: UpdateRecord[] = [];
  #running: UpdateRecord | undefined;
  #begunCount = 0;
  #closing: CheckpointEngineError | undefined;

  constructor(options: UpdatesOptions) {
    this.#options = options;
    this.instances = new Instances(options.world.instances);
  }

  get running(): UpdateRecord | undefined {
    return this.#running;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** Newest first. */
  get all(): readonly UpdateRecord[] {
    return [...this.#records.values()].reverse();
  }

  /** @throws `CE_UPDATE_UNKNOWN` */
  get(id: string): UpdateRecord {
    const record = this.#records.get(id);
    if (record) return record;
    throw new CheckpointEngineError(
      'CE_UPDATE_UNKNOWN',
      `Unknown update "${id}"`,
      `Use the id from the answer to the update; the server keeps records of the last ${KEPT} updates`,
    );
  }

  /**
   * Adds an update. It starts when the updates before it have ended.
   *
   * @param whenBusy `refuse`: instead of waiting.
   * @throws `CE_CHECKPOINT_BUSY`, `CE_CLOSED`
   */
  submit(checkpoint: string, request: UpdateRequest, whenBusy: 'wait' | 'refuse'): UpdateRecord {
    if (this.#closing) throw this.#closing;
    const running = this.#running;
    if (running && (whenBusy === 'refuse' || this.#waiting.length >= MAX_WAITING)) {
      throw new CheckpointEngineError(
        'CE_CHECKPOINT_BUSY',
        `Update ${running.id} of checkpoint "${running.checkpoint}" is running, and ${this.#waiting.length} wait`,
        'Try again when it is over, or cancel it with DELETE /v1/updates/{id}',
        { retryable: true },
      );
    }
    const record = new UpdateRecord(randomUUID(), checkpoint, request);
    this.#records.set(record.id, record);
    this.#waiting.push(record);
    this.#next();
    return record;
  }

  /** Cancels an update that waits or runs, and resolves when it has ended. Does nothing if it has already ended. */
  async cancel(record: UpdateRecord, reason: CheckpointEngineError): Promise<void> {
    if (record.isOver) return;
    record.abort(reason);
    const at = this.#waiting.indexOf(record);
    if (at >= 0) {
      this.#waiting.splice(at, 1);
      this.#end(record, { error: reason });
    }
    await record.ended;
  }

  /**
   * Queries the versions that the server's own instances hold. Queries none during an update, and ignores answers that
   * an update overtakes. Never rejects: without answers, the known versions stay.
   */
  async askInstances(signal: AbortSignal): Promise<void> {
    const { world, logger } = this.#options;
    if (world.askInstances === undefined || this.#running !== undefined) return;
    const begunCount = this.#begunCount;
    try {
      const isWanted = (): boolean => begunCount === this.#begunCount;
      const answers = await world.askInstances({ signal, isWanted });
      if (isWanted()) for (const answer of answers) this.instances.learn(answer);
    } catch (err) {
      if (!signal.aborted) logger.warn({ err }, 'The versions that the instances hold could not be queried');
    }
  }

  /** Whether new updates are rejected. */
  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /** Rejects new and waiting updates. Resolves when the running update has ended. */
  async close(reason: CheckpointEngineError): Promise<void> {
    this.#closing = reason;
    await Promise.all([...this.#waiting].map((record) => this.cancel(record, reason)));
    await this.#running?.ended;
  }

  #next(): void {
    if (this.#running) return;
    const record = this.#waiting.shift();
    if (!record) return;
    this.#running = record;
    this.#begunCount += 1;
    void this.#run(record).finally(() => {
      this.#running = undefined;
      this.#next();
    });
  }

  async #run(record: UpdateRecord): Promise<void> {
    const { id, checkpoint, request } = record;
    const { weightVersion } = request;
    const { world, logger } = this.#options;
    record.begin();
    logger.info({ update: id, checkpoint, weightVersion }, 'Starting an update');
    try {
      const summary = await world.update(checkpoint, request, {
        signal: record.signal,
        onEvent: (event) => {
          this.#note(record, event);
          this.#options.onEvent?.(record, event);
        },
      });
      this.#end(record, { summary });
      this.#confirm(record);
      const { removedFiles } = summary;
      const removed = removedFiles.length > 0 ? { removedFiles } : {};
      logger.info(
        { update: id, checkpoint, durationMs: Math.round(record.durationMs), ...removed },
        'Update completed',
      );
    } catch (thrown) {
      const error = toCheckpointEngineError(thrown);
      const reason = `Update ${id} ended before all ranks had confirmed it: ${error.message}`;
      for (const { endpoint } of record.progress.engines) this.instances.forget(endpoint, reason);
      this.#end(record, { error });
      logger.error({ update: id, checkpoint, err: error }, 'Update failed');
    }
  }

  #note(record: UpdateRecord, event: UpdateEvent): void {
    if (event.type !== 'engine') {
      record.progress.add(event);
      return;
    }
    record.progress.add(event, this.instances.versionOf(event.endpoint));
    // The event says nothing about the other instances: no instance counts as updated until all ranks have confirmed.
    if (event.state === 'asked') this.instances.forget(event.endpoint, `Update ${record.id} is in progress`);
  }

  #confirm({ id, checkpoint, progress, weightVersion }: UpdateRecord): void {
    const held = { checkpoint, weightVersion: weightVersion!, updateId: id, confirmedAtMs: Date.now() };
    for (const { endpoint } of progress.engines) this.instances.confirm(endpoint, held);
  }

  #end(record: UpdateRecord, outcome: Parameters<UpdateRecord['end']>[0]): void {
    record.end(outcome);
    this.#options.onEnd(record);
    const over = [...this.#records.values()].filter(({ isOver }) => isOver);
    for (const { id } of over.slice(0, Math.max(0, over.length - KEPT))) this.#records.delete(id);
  }
}

/** The reason of an update that a client cancelled. */
export function cancelledError(): CheckpointEngineError {
  return new RequestError(409, 'The update was cancelled', 'Start it again when ready', 'CE_ABORTED');
}
