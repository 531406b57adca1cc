import { execFile } from 'node:child_process';

const TIMEOUT_MS = 5_000;

/** What a program prints, or `undefined` where it is not there, fails, or takes too long. */
export function capture(file: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(file, args, { timeout: TIMEOUT_MS, maxBuffer: 16 * 2 ** 20 }, (error, stdout) =>
      resolve(error ? undefined : stdout),
    );
  });
}
