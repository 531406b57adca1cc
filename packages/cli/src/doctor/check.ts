/** The result of one check. Plain data. */
export interface Check {
  /** Stable name: `nccl`, `shm`. */
  readonly id: string;
  readonly title: string;
  /** `warning`: present, but causes problems. `optional`: absent, and only some uses need it. */
  readonly status: 'found' | 'missing' | 'optional' | 'warning';
  /** The finding: what is present or missing; may have several lines. */
  readonly value: string;
  /** Instructions: how to install it, or what to change. */
  readonly hint?: string | undefined;
  /** The same information as data. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** The results of all checks, and what works on this machine. Plain data. */
export interface Diagnosis {
  readonly checks: readonly Check[];
  /** The kinds of `--device` that work here. */
  readonly devices: readonly ('cuda' | 'host')[];
}
