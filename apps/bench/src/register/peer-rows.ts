import type { BenchCheckpoint } from '../checkpoints/bench-checkpoint.ts';
import type { ResultRow } from '../report/result.ts';
import { runPythonRanks } from '../update/python-ranks.ts';
import { runPythonTool } from '../update/python-tool.ts';
import type { RegisterScenarioOptions } from './register-options.ts';

interface SafetensorsFigures {
  readonly one_thread_s: readonly number[];
  readonly threads_s: readonly number[];
  /** Only where there is a GPU. */
  readonly pinned_s?: readonly number[];
}

/** Times of the safetensors library and the Python tool for the same files. */
export async function peerRows(
  { python, threads, rounds, device }: RegisterScenarioOptions,
  { folder }: BenchCheckpoint,
  row: (by: string, what: string, ms: readonly number[]) => ResultRow,
): Promise<ResultRow[]> {
  const milliseconds = (seconds: readonly number[]): number[] => seconds.map((s) => s * 1e3);
  const [loaded] = await runPythonRanks<SafetensorsFigures>({
    python,
    script: 'load_safetensors.py',
    worldSize: 1,
    args: () => ['--dir', folder, '--threads', String(threads), '--rounds', String(rounds)],
  });
  const rows = [
    row('safetensors, one thread', 'load', milliseconds(loaded!.one_thread_s)),
    row(`safetensors, ${threads} threads`, 'load', milliseconds(loaded!.threads_s)),
    ...(loaded!.pinned_s === undefined
      ? []
      : [row(`safetensors, ${threads} threads, pinned`, 'load', milliseconds(loaded!.pinned_s))]),
  ];
  if (device === 'host') return rows;
  const [tool] = await runPythonTool({
    python,
    folder,
    enginePorts: [0],
    updates: 0,
    registers: rounds,
    bucketGiB: [],
  });
  return [...rows, row('Python tool, as shipped', 'register', milliseconds(tool!.register_s))];
}
