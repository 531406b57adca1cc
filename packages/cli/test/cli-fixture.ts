import { join } from 'node:path';
import { afterAll, afterEach } from 'vitest';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { startTestWorker, type TestWorker } from './demo-worker.ts';

/** The setup that most test files of the command share. */
export interface CliFixture {
  /** A temporary folder, which is removed after all tests of the file. */
  readonly folder: string;
  /** A small checkpoint in it: `step-1`. */
  readonly checkpoint: string;
  /** Steps that run after each test, the last one first. */
  readonly cleanup: (() => Promise<void> | void)[];
  /** A new path of a socket in the folder. */
  socketPath(): string;
  /** Starts workers that end after the test. `uds` has their addresses as arguments of `update`. */
  startWorkers(count: number): Promise<{ uds: string[]; all: TestWorker[] }>;
}

/** Creates the fixture, and removes it after the tests of the calling file. */
export async function cliFixture(): Promise<CliFixture> {
  const { folder, remove } = await temporaryFolder();
  const checkpoint = await smallCheckpoint(join(folder, 'step-1'), 'one');
  const cleanup: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const step of cleanup.splice(0).reverse()) await step();
  });
  afterAll(remove);

  let sockets = 0;
  const socketPath = (): string => join(folder, `${sockets++}.sock`);
  const startWorkers = async (count: number): Promise<{ uds: string[]; all: TestWorker[] }> => {
    const paths = Array.from({ length: count }, socketPath);
    const all = await Promise.all(paths.map((path, index) => startTestWorker(index, path)));
    cleanup.push(async () => {
      await Promise.all(all.map((worker) => worker.close()));
    });
    return { uds: paths.flatMap((path) => ['--uds', path]), all };
  };
  return { folder, checkpoint, cleanup, socketPath, startWorkers };
}
