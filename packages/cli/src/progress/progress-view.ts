import type { ProgressEvent } from '@checkpoint-engine/ps';

/** Shows how far an update is. */
export interface ProgressView {
  onEvent(event: ProgressEvent): void;
  /** Takes down what is shown. Idempotent. */
  close(): void;
}

/** Shows nothing. */
export const noProgress: ProgressView = { onEvent: () => {}, close: () => {} };
