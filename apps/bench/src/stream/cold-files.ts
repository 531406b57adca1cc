import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Drops the files' pages from the page cache, so that the next read comes from the disk. */
export function dropFromCache(paths: readonly string[]): void {
  execFileSync('sync', paths);
  for (const path of paths) execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
}

/** Reads all files at once past the page cache, and returns the milliseconds: the floor of the disk. */
export async function readDirectly(paths: readonly string[]): Promise<number> {
  const startedAtMs = performance.now();
  await Promise.all(
    paths.map(async (path) => {
      const child = spawn('dd', [`if=${path}`, 'of=/dev/null', 'bs=8M', 'iflag=direct', 'status=none']);
      const [code] = (await once(child, 'exit')) as [number];
      if (code !== 0) throw new Error(`dd of ${path} ended with ${code}`);
    }),
  );
  return performance.now() - startedAtMs;
}
