/** The options of `bench host`. */
export interface HostScenarioOptions {
  readonly sizeBytes: number;
  readonly tensorBytes: number;
  /** One tensor of this size among the others. */
  readonly largestBytes?: number | undefined;
  readonly shards: number;
  readonly ranks: number;
  readonly registers: number;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
  readonly json?: string | undefined;
}
