import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileDigests } from '../checkpoints/file-digests.ts';
import { message, start } from './children.ts';
import { EngineProcess, type EngineStats } from './engine-process.ts';
import type { RankIdentity } from './open-rank.ts';

/** The process that holds the weights of a rank. */
export interface Receiver {
  readonly engine: NonNullable<RankIdentity['engine']>;
  readonly pid: number;
  /** Port of a Python engine. */
  readonly port?: number | undefined;
  /** Compares all weights with the checkpoint's files. */
  verify(folder: string, files: readonly string[]): Promise<{ readonly checked: number; readonly wrong: number }>;
  /** Corrupts every byte of its weights, so that only a complete update can pass `verify`. */
  corrupt(): Promise<void>;
  /** Its worker's times in the last update; `undefined` for our own worker. */
  stats(): Promise<EngineStats | undefined>;
  stop(): Promise<void>;
}

/** A Python process with the unmodified worker of the Python tool. */
export async function pythonReceiver(python: string, gpu: number): Promise<Receiver> {
  const engine = await EngineProcess.start(python, gpu);
  return {
    engine: { vllmUrl: engine.endpoint },
    pid: engine.pid,
    port: engine.port,
    async verify(folder) {
      const { tensors, wrong } = await engine.verify(folder, { keep: true });
      return { checked: tensors, wrong };
    },
    corrupt: () => engine.corrupt(),
    stats: () => engine.stats(),
    stop: () => engine.stop(),
  };
}

/** One of our workers. */
export async function ourReceiver(
  kind: 'cuda' | 'host',
  index: number,
  runner: readonly string[] = [],
): Promise<Receiver> {
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  const workerSocket = join(folder, 'worker.sock');
  const child = start('worker-main', [String(index), workerSocket, kind], {}, runner);
  await message(child);
  return {
    engine: { workerSocket },
    pid: child.pid!,
    async verify(_, files) {
      const held = await ask<Record<string, string>>(child, 'digests');
      const wanted = [...(await fileDigests(files))];
      return { checked: wanted.length, wrong: wanted.filter(([name, digest]) => held[name] !== digest).length };
    },
    async corrupt() {
      await ask(child, 'corrupt');
    },
    stats: async () => undefined,
    async stop() {
      if (child.exitCode === null) child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function ask<T>(child: ChildProcess, question: string): Promise<T> {
  const reply = message<T>(child);
  child.send(question);
  return reply;
}
