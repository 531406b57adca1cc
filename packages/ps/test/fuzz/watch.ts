import process from 'node:process';

/** Failures of a target. */
export interface Verdict {
  readonly messages: number;
  readonly crashes: readonly string[];
  /** Largest growth of memory between two samples, in bytes. */
  readonly largestStepBytes: number;
  readonly seconds: number;
}

const heldBytes = (): number => {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
};

/** Feeds a target, and watches the process for errors that nothing caught and for memory that grows at once. */
export async function watch(feed: (sample: () => void) => Promise<number>): Promise<Verdict> {
  const crashes: string[] = [];
  const onCrash = (error: unknown): void => {
    crashes.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  };
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => process.listeners(event as 'uncaughtException'));
  for (const event of events) process.removeAllListeners(event).on(event, onCrash);
  let last = heldBytes();
  let largestStepBytes = 0;
  const sample = (): void => {
    const now = heldBytes();
    largestStepBytes = Math.max(largestStepBytes, now - last);
    last = now;
  };
  const startedAt = performance.now();
  try {
    const messages = await feed(sample);
    sample();
    return { messages, crashes, largestStepBytes, seconds: (performance.now() - startedAt) / 1_000 };
  } finally {
    events.forEach((event, i) => {
      process.removeAllListeners(event);
      for (const listener of before[i]!) process.on(event, listener as (error: unknown) => void);
    });
  }
}
