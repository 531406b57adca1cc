import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Whole seconds, because restored time stamps have no fraction. */
export const WRITTEN_AT = 1_700_000_000;

/** The reason why older mappings cannot be tested; undefined if they can. */
export const noMapping: string | undefined =
  spawnSync('python3', ['-c', 'import mmap']).status === 0 ? undefined : 'python3 is needed to map a file for writing';

/** A process that maps a file for writing, and has written to the page, before ranks read the file. */
export interface OlderMapping {
  /** Flips one bit. The kernel changes no time stamp: the page is mapped for writing already. */
  flip(): Promise<void>;
  close(): Promise<void>;
}

const MAP = `
import mmap, sys
path, at = sys.argv[1], int(sys.argv[2])
with open(path, "r+b") as file:
    mapped = mmap.mmap(file.fileno(), 0)
mapped[at] = mapped[at]
print("mapped", flush=True)
for _ in sys.stdin:
    mapped[at] ^= 16
    print("flipped", flush=True)
`;

/** Maps a file for writing. @param at The byte that will change. */
export async function olderMapping(path: string, at: number): Promise<OlderMapping> {
  const child: ChildProcess = spawn('python3', ['-u', '-c', MAP, path, `${at}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  await lines.next();
  return {
    flip: async () => {
      child.stdin!.write('\n');
      await lines.next();
    },
    close: async () => {
      child.stdin!.end();
      await exited;
    },
  };
}

/** Flips one bit of a file and puts its time of modification back. */
export async function flipInFile(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = new Uint8Array(1);
  await file.read(byte, 0, 1, at);
  await file.write(Uint8Array.of(byte[0]! ^ 16), 0, 1, at);
  await file.close();
  await utimes(path, WRITTEN_AT, WRITTEN_AT);
}

/** Finds bytes in the shared memory of a process. @returns The file in /dev/shm, and the place of the first byte. */
export async function findInSharedMemory(pid: number, bytes: Uint8Array): Promise<{ path: string; at: number }> {
  for (const name of await readdir('/dev/shm')) {
    if (!name.startsWith('checkpoint-engine-') || name.split('-')[3] !== `${pid}`) continue;
    const path = join('/dev/shm', name);
    const at = (await readFile(path).catch(() => Buffer.alloc(0))).indexOf(bytes);
    if (at >= 0) return { path, at };
  }
  throw new Error(`Process ${pid} has no shared memory with these bytes`);
}
