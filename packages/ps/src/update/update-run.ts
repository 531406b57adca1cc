import type { Cleanup } from '@checkpoint-engine/interface/shared';
import type { UpdateOptions } from '../api.ts';
import type { ProgressEvent } from '../progress-event.ts';
import type { WorkerProtocol } from '../session.ts';
import type { Verifier } from '../verify/verifier.ts';
import type { Stopwatch } from './stopwatch.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateLifetime } from './update-lifetime.ts';

/** The state that the parts of one update share. */
export interface UpdateRun {
  readonly context: UpdateContext;
  readonly options: UpdateOptions;
  readonly protocol: WorkerProtocol;
  readonly life: UpdateLifetime;
  /** Releases the resources of the update, however it ends. */
  readonly cleanup: Cleanup;
  readonly watch: Stopwatch;
  readonly verifier: Verifier;
  readonly emit: (event: ProgressEvent) => void;
  /** Bounds every wait for others. */
  readonly waiting: { readonly signal: AbortSignal; readonly timeoutMs: number };
}
