/**
 * The stages of a bucket. `read`: from a file (registration and streaming) or from a peer's memory (P2P). `pull`: a
 * worker copies what it keeps.
 */
export type Stage = 'read' | 'h2d' | 'broadcast' | 'reload' | 'pull';

/** The events of an update. Times are milliseconds since the epoch, comparable between the processes of a host. */
export type ProgressEvent =
  | { readonly type: 'phase'; readonly phase: UpdatePhase; readonly atMs: number; readonly rank: number }
  | {
      readonly type: 'register';
      readonly rank: number;
      readonly doneBytes: number;
      readonly totalBytes: number;
      readonly atMs: number;
    }
  | {
      readonly type: 'plan';
      readonly rank: number;
      readonly bucketBytes: number;
      readonly bucketCount: number;
      readonly ringSlots: number;
      readonly stagingSlots: number;
      readonly deviceBytes: number;
      readonly totalBytes: number;
      /** The method of the transfer, and the reason for it. */
      readonly method: 'pull' | 'buckets';
      readonly methodReason: string;
      /** Bytes that this rank's worker keeps: `totalBytes` if the worker cannot report it, 0 if it receives nothing. */
      readonly neededBytes: number;
      /**
       * Bytes that this rank will move through each stage in one pass: the sum of `sizeBytes` of the following
       * `bucket-end` events. 0 if the rank does not use the stage.
       */
      readonly stageBytes: Readonly<Record<Stage, number>>;
      readonly reason: string;
      readonly atMs: number;
    }
  | {
      readonly type: 'bucket-start' | 'bucket-end';
      readonly rank: number;
      readonly stage: Stage;
      readonly bucket: number;
      readonly sizeBytes: number;
      readonly atMs: number;
    }
  | ({ readonly type: 'version'; readonly rank: number; readonly atMs: number } & VersionChange);

/** The version of an inference instance before and after an update that all ranks have confirmed. */
export interface VersionChange {
  /** Number of the instance: see `UpdateOptions.inferenceParallelSize`. */
  readonly groupIndex: number;
  /**
   * The version that all its workers held; `unknown` where they held different ones, or weights of another origin.
   * Absent if workers do not report it.
   */
  readonly before?: string | undefined;
  readonly after: string;
}

/** The phases of an update. */
export type UpdatePhase = 'plan' | 'handshake' | 'stream' | 'release' | 'hook' | 'done';
