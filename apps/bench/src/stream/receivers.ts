import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileDigests } from '../host/file-digests.ts';
import { EngineProcess } from '../update/engine-process.ts';
import { message, start } from '../world/children.ts';
import type { RankTask } from '../world/rank-main.ts';

/** What receives: one for each rank. */
export interface Receivers {
  readonly engines: readonly RankTask['engine'][];
  /** Where the Python tool finds the first one. */
  readonly port?: number | undefined;
  /** Compares what they hold with the files, and gives the number of wrong tensors. */
  wrong(): Promise<number>;
  stop(): Promise<void>;
}

/** Python processes with the unmodified worker, one for each GPU. */
export async function startEngines(python: string, count: number, folder: string): Promise<Receivers> {
  const engines: EngineProcess[] = [];
  for (let index = 0; index < count; index++) engines.push(await EngineProcess.start(python, index));
  return {
    engines: engines.map(({ endpoint }) => ({ vllmUrl: endpoint })),
    port: engines[0]!.port,
    async wrong() {
      let wrong = 0;
      for (const engine of engines) wrong += (await engine.verify(folder)).wrong;
      return wrong;
    },
    async stop() {
      for (const engine of engines) await engine.stop();
    },
  };
}

/** Workers in TypeScript on the host device. */
export async function startWorkers(count: number, files: readonly string[]): Promise<Receivers> {
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  const sockets = Array.from({ length: count }, (_, index) => join(folder, `worker-${index}.sock`));
  const workers = sockets.map((socket, index) => start('worker-main', [String(index), socket]));
  await Promise.all(workers.map((worker) => message(worker)));
  return {
    engines: sockets.map((workerSocket) => ({ workerSocket })),
    async wrong() {
      const wanted = await fileDigests(files);
      const held = await Promise.all(workers.map((worker) => askDigests(worker)));
      return held.reduce((sum, own) => sum + [...wanted].filter(([name, digest]) => own[name] !== digest).length, 0);
    },
    async stop() {
      for (const worker of workers) worker.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function askDigests(worker: ChildProcess): Promise<Record<string, string>> {
  const reply = message<Record<string, string>>(worker);
  worker.send('digests');
  return await reply;
}
