import type { Cleanup } from '@checkpoint-engine/interface/shared';
import type { ProgressEvent, UpdateOptions } from '../api.ts';
import type { WorkerProtocol } from '../session.ts';
import type { Stopwatch } from './stopwatch.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateLifetime } from './update-lifetime.ts';

/** What the parts of one update work with. */
export interface UpdateRun {
  readonly context: UpdateContext;
  readonly options: UpdateOptions;
  readonly protocol: WorkerProtocol;
  readonly life: UpdateLifetime;
  /** Gives back what the update took, however it ends. */
  readonly cleanup: Cleanup;
  readonly watch: Stopwatch;
  readonly emit: (event: ProgressEvent) => void;
  /** Bounds every wait for others. */
  readonly waiting: { readonly signal: AbortSignal; readonly timeoutMs: number };
}
