/** One thing that doctor looked at. Plain data. */
export interface Check {
  /** Stable name: `nccl`, `shm`. */
  readonly id: string;
  readonly title: string;
  /** `warning`: it is there, but will do harm. `optional`: it is not there, and only some uses need it. */
  readonly status: 'found' | 'missing' | 'optional' | 'warning';
  /** What was found, or what is missing; in several lines where there is much. */
  readonly value: string;
  /** How to get it, or what to change. */
  readonly hint?: string | undefined;
  /** The same in figures. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** What doctor found, and what works with it. Plain data. */
export interface Diagnosis {
  readonly checks: readonly Check[];
  /** Which kinds of `--device` can work here. */
  readonly devices: readonly ('cuda' | 'host')[];
}
