import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** A process's use of the resources that may leak. */
export interface ProcessStats {
  readonly openFiles: number;
  /** Mappings of shared memory (`/dev/shm`, memfd). */
  readonly sharedMappings: number;
  readonly rssBytes: number;
}

let collectGarbage: (() => void) | undefined;

/** Counts the resources of this process now, after a garbage collection if the runtime allows one. */
export function processStats(): ProcessStats {
  collectGarbage ??= findCollector();
  collectGarbage();
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    openFiles: readdirSync('/proc/self/fd').length,
    sharedMappings: maps.filter((line) => line.includes(' /dev/shm/') || line.includes(' /memfd:')).length,
    rssBytes: process.memoryUsage().rss,
  };
}

function findCollector(): () => void {
  try {
    setFlagsFromString('--expose-gc');
    const found: unknown = runInNewContext('gc');
    if (typeof found === 'function') return () => found();
  } catch {
    // Not every runtime accepts flags after the start.
  }
  return () => {};
}
