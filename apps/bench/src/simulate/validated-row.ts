/** A prediction next to its measurement. */
export interface ValidatedRow {
  /** Names the row within its table. */
  readonly label: string;
  readonly measuredMs: number;
  readonly predictedMs: number;
  /** The bottleneck of the simulation. */
  readonly bottleneck: string;
}

/** Largest error that counts as reached. */
export const WANTED_ERROR = 0.15;

/** Predicted over measured, minus 1. */
export const errorOf = ({ measuredMs, predictedMs }: ValidatedRow): number => predictedMs / measuredMs - 1;

/** Whether a prediction is within the allowed error. */
export const isNear = (row: ValidatedRow): boolean => Math.abs(errorOf(row)) <= WANTED_ERROR;
