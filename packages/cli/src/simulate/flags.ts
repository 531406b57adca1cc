/** Flags of `simulate`, as parsed. Sizes are in bytes. */
export interface SimulateFlags {
  readonly model?: string;
  readonly checkpointPath?: string;
  readonly metasFile?: string;
  readonly preset?: string;
  readonly topology?: string;
  readonly worldSize: number;
  readonly hosts?: number;
  readonly gpusPerHost?: number;
  readonly nics?: number;
  readonly method?: readonly string[];
  readonly tp?: number;
  readonly pp?: number;
  readonly ep?: number;
  readonly layout?: string;
  readonly source?: string;
  readonly join?: number;
  readonly receivers?: number;
  readonly bucketSize?: number;
  readonly deviceMemory?: number;
  readonly firstUpdate?: true;
  readonly sweep?: string;
  readonly calibrate?: string;
  readonly report?: string;
  readonly json?: true;
}
