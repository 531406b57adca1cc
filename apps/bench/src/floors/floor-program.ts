import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What the floor program measured. */
export interface FloorFigures {
  /** Bytes that one round moves. */
  readonly bytes: number;
  /** One figure a round; the first warms up. */
  readonly seconds: readonly number[];
}

const PROGRAM = fileURLToPath(new URL('../../build/floor', import.meta.url));

/** Runs `apps/bench/native/floor.cc`, which has none of the product's code in it. */
export function floor(args: readonly string[]): FloorFigures {
  return JSON.parse(execFileSync(PROGRAM, args, { encoding: 'utf8' })) as FloorFigures;
}
