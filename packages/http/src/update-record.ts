import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { UpdateProgress } from './update-progress.ts';
import type { UpdateRequest, UpdateSummary } from './world.ts';

/** The state of an update. */
export type UpdateState = 'waiting' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** One update from the request to its end. */
export class UpdateRecord {
  readonly id: string;
  readonly checkpoint: string;
  readonly request: UpdateRequest;
  readonly progress: UpdateProgress = new UpdateProgress();
  readonly createdAtMs: number = Date.now();
  /** Resolves when the update has ended. Never rejects. */
  readonly ended: Promise<void>;
  state: UpdateState = 'waiting';
  startedAtMs: number | undefined;
  endedAtMs: number | undefined;
  summary: UpdateSummary | undefined;
  error: CheckpointEngineError | undefined;
  readonly #controller = new AbortController();
  readonly #createdAt: number = performance.now();
  #startedAt: number | undefined;
  #endedAt: number | undefined;
  #resolve!: () => void;

  constructor(id: string, checkpoint: string, request: UpdateRequest) {
    this.id = id;
    this.checkpoint = checkpoint;
    this.request = request;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Fires when the update is to be aborted. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Version of the update's weights, if it is known: the engines have it after the update has succeeded. */
  get weightVersion(): string | undefined {
    const { weightVersion: given } = this.request;
    return this.summary === undefined ? given : (this.summary.weightVersion ?? given ?? `update-${this.id}`);
  }

  /** Whether it has ended, with any result. */
  get isOver(): boolean {
    return this.endedAtMs !== undefined;
  }

  /** From its start to its end, or to now. The wall clock, which can be set, does not affect it. */
  get durationMs(): number {
    return (this.#endedAt ?? performance.now()) - (this.#startedAt ?? this.#createdAt);
  }

  /** Aborts the update, if it is running, with this reason. */
  abort(reason: CheckpointEngineError): void {
    this.#controller.abort(reason);
  }

  /** Call it when the update starts. */
  begin(): void {
    this.state = 'running';
    this.startedAtMs = Date.now();
    this.#startedAt = performance.now();
  }

  /** Call it when the update has ended. */
  end({ summary, error }: { readonly summary?: UpdateSummary; readonly error?: CheckpointEngineError }): void {
    if (summary) this.progress.finish(summary);
    this.summary = summary;
    this.error = error;
    this.state = summary ? 'succeeded' : this.signal.aborted ? 'cancelled' : 'failed';
    this.endedAtMs = Date.now();
    this.#endedAt = performance.now();
    this.#resolve();
  }
}
