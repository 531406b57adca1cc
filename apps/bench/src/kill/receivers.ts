import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileDigests } from '../host/file-digests.ts';
import { EngineProcess } from '../update/engine-process.ts';
import { message, start } from '../world/children.ts';
import type { RankIdentity } from '../world/open-rank.ts';

/** What stands behind a rank and holds the weights. */
export interface Receiver {
  readonly engine: RankIdentity['engine'];
  readonly pid: number;
  /** What torch says that it holds of the GPU: tensors, and with what it keeps for later ones. */
  torchBytes?(): Promise<{ readonly allocated: number; readonly reserved: number }>;
  /** How many of its tensors differ from the checkpoint's files. */
  wrong(): Promise<number>;
  stop(): Promise<void>;
}

/** A Python process with the unmodified worker of the Python tool. */
export async function pythonReceiver(python: string, gpu: number, dir: string): Promise<Receiver> {
  const engine = await EngineProcess.start(python, gpu);
  return {
    engine: { vllmUrl: engine.endpoint },
    pid: engine.pid,
    async torchBytes() {
      const { torch_allocated_bytes: allocated, torch_reserved_bytes: reserved } = await engine.stats();
      return { allocated, reserved };
    },
    wrong: async () => (await engine.verify(dir)).wrong,
    stop: () => engine.stop(),
  };
}

/** A worker of ours. */
export async function ourReceiver(kind: 'cuda' | 'host', index: number, files: readonly string[]): Promise<Receiver> {
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-kill-'));
  const workerSocket = join(folder, 'worker.sock');
  const child: ChildProcess = start('worker-main', [String(index), workerSocket, kind]);
  await message(child);
  return {
    engine: { workerSocket },
    pid: child.pid!,
    async wrong() {
      const reply = message<Record<string, string>>(child);
      child.send('digests');
      const held = await reply;
      return [...(await fileDigests(files))].filter(([name, digest]) => held[name] !== digest).length;
    },
    async stop() {
      if (child.exitCode === null) child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
