import type { ProgressEvent } from '@checkpoint-engine/ps';

/** Shows the progress of an update. */
export interface ProgressView {
  onEvent(event: ProgressEvent): void;
  /** Removes what is shown. Idempotent. */
  close(): void;
}

/** Shows nothing. */
export const noProgress: ProgressView = { onEvent: () => {}, close: () => {} };
