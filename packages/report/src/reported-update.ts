/** A phase of an update on one rank. Times are milliseconds from the start of the update. */
export interface PhaseSpan {
  /** `register`, `gatherMetas`, `plan`, `handshake`, `stream`, `release`, `hook`. */
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A bucket, or a pull, in one stage of one rank. */
export interface StageSpan {
  /** `read`, `h2d`, `broadcast`, `reload`, `pull`. */
  readonly stage: string;
  /** Number of the bucket or of the pull. */
  readonly index: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly sizeBytes: number;
}

/** One rank of an update. */
export interface RankReport {
  readonly rank: number;
  readonly device: string;
  /** Bytes that its worker keeps: all of the checkpoint if that is unknown. */
  readonly neededBytes: number;
  /** Bytes that reached its worker. */
  readonly receivedBytes: number;
  /** Host memory that holds its share of the checkpoint. */
  readonly poolBytes: number;
  readonly phases: readonly PhaseSpan[];
  readonly spans: readonly StageSpan[];
}

/** A table with a sentence as its title. */
export interface ReportTable {
  readonly title: string;
  readonly head: readonly string[];
  /** Cells of the first column are names, those of the others are aligned to the right if they begin with a digit. */
  readonly rows: readonly (readonly string[])[];
  readonly caption: string;
}

/** An update as its page shows it. */
export interface ReportedUpdate {
  /** The subject of the page: `step-100 into 8 ranks`. */
  readonly title: string;
  readonly outcome: 'succeeded' | 'failed' | 'cancelled' | 'simulated';
  /** The reason of a failure, and what to do about it. */
  readonly error?: { readonly code: string; readonly what: string; readonly hint: string } | undefined;
  /** ISO 8601. */
  readonly date: string;
  /** Further lines of the head: names and values. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** Bytes of the checkpoint. */
  readonly totalBytes: number;
  /** Device memory of the update on the rank that needed the most. */
  readonly deviceBytes: number;
  readonly warnings: readonly string[];
  /** Further tables, before the charts. @default none */
  readonly tables?: readonly ReportTable[] | undefined;
  /** Ascending by rank. */
  readonly ranks: readonly RankReport[];
}
