import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Measurements of the floor program. */
export interface FloorFigures {
  /** Bytes that one round moves. */
  readonly bytes: number;
  /** One figure per round; the first round is a warm-up. */
  readonly seconds: readonly number[];
}

const PROGRAM = fileURLToPath(new URL('../../build/floor', import.meta.url));

/** Runs `apps/bench/native/floor.cc`, which contains none of the product's code. */
export function floor(args: readonly string[]): FloorFigures {
  return JSON.parse(execFileSync(PROGRAM, args, { encoding: 'utf8' })) as FloorFigures;
}

/** Headroom for other users of memory between warming and measuring. */
const WARM_SHARE = 1.25;

/**
 * Allocates, touches and frees this much memory, so that the next measurement does not wait for the machine's host to
 * back it: a virtual machine that returns free memory to its host takes 3 to 25 times as long to touch it.
 */
export function warmMemory(sizeBytes: number, threads: number): void {
  floor(['touch', String(threads), String(Math.ceil(sizeBytes * WARM_SHARE))]);
}

/** Measurements of a floor program that still holds its memory. */
export interface HeldFloor extends FloorFigures {
  /** Makes the program free its memory and end. Resolves when it has ended. */
  release(): Promise<void>;
}

/** Runs `floor hold`: its seconds are those of touching, if requested, and of reading. */
export async function holdFloor(way: 'read' | 'touch', threads: number, files: readonly string[]): Promise<HeldFloor> {
  const child = spawn(PROGRAM, ['hold', way, String(threads), ...files], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const line = await Promise.race([once(lines, 'line'), ended.then(() => undefined)]);
  if (line === undefined) throw new Error(`The floor program ended with ${child.exitCode}`);
  return {
    ...(JSON.parse(line[0] as string) as FloorFigures),
    async release() {
      child.stdin.end();
      await ended;
    },
  };
}

/** A floor program that runs a round on request. */
export interface FloorInTurns {
  /** Milliseconds of one round. */
  round(): Promise<number>;
  end(): Promise<void>;
}

/** Starts `floor memcpy ... turns`; its buffers are touched before the first round. */
export function floorInTurns(args: readonly string[]): FloorInTurns {
  const child = spawn(PROGRAM, [...args, 'turns'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  return {
    async round() {
      const line = once(lines, 'line');
      child.stdin.write('\n');
      const came = await Promise.race([line, ended.then(() => undefined)]);
      if (came === undefined) throw new Error(`The floor program ended with ${child.exitCode}`);
      return (JSON.parse(came[0] as string) as FloorFigures).seconds[0]! * 1e3;
    },
    async end() {
      child.stdin.end();
      await ended;
    },
  };
}

/** Times of the driver's start and of a context in a plain program, in milliseconds; each in a new process. */
export function contextMs(rounds: number): number[] {
  return Array.from({ length: rounds }, () => floor(['context']).seconds[0]! * 1e3);
}
