#!/usr/bin/env node
// Imports its own modules inside of `try`, to explain a failure: each module needs a file descriptor while it is loaded.
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

/** All commands can load their modules if a process may open this many files. */
const ENOUGH_FILES = 256;
/** Time for other modules to release their files. */
const RELEASE_MS = 200;

try {
  const { start } = await import('./start.ts');
  process.exitCode = await start();
} catch (error) {
  await sleep(RELEASE_MS);
  const limit = openFilesLimit();
  if (limit === undefined || limit >= ENOUGH_FILES) throw error;
  // With too few descriptors, Node.js also reports modules that exist as missing.
  process.stderr.write(
    `error: The modules of checkpoint-engine cannot be loaded: ${error instanceof Error ? error.message : error}\n` +
      `  What to do: Raise the limit of open files, which is ${limit}, to ${ENOUGH_FILES} or more (ulimit -n)\n` +
      '  Code: CE_FILE_UNREADABLE\n',
  );
  process.exitCode = 1;
}

/** The number of files that this process may open, if the system reports it. */
function openFilesLimit(): number | undefined {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return line === null ? undefined : Number(line[1]);
  } catch {
    return undefined;
  }
}
