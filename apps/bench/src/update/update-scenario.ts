import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createCudaDevice } from '@checkpoint-engine/device';
import { formatBytes } from '@checkpoint-engine/planner';
import { type H2dFloor, measureH2d } from '../floors/h2d.ts';
import { describeMachine, type MachineDescription } from '../report/machine.ts';
import { median } from '../report/statistics.ts';
import { printTable } from '../report/table.ts';
import { EngineProcess, type Verification } from './engine-process.ts';
import { type PythonToolFigures, runPythonTool } from './python-tool.ts';
import { type OurFigures, runUpdates } from './run-updates.ts';

/** What `bench update` is asked to do. */
export interface UpdateScenarioOptions {
  readonly dir: string;
  /** A checkpoint of one small tensor: its update takes the worker's own fixed time. */
  readonly smallDir: string;
  readonly updates: number;
  readonly registers: number;
  readonly python: string;
  readonly peer: boolean;
  readonly bucketBytes?: number | undefined;
  readonly deviceMemoryBytes?: number | undefined;
  readonly json?: string | undefined;
}

interface UpdateReport {
  readonly version: 1;
  readonly scenario: 'update';
  readonly machine: MachineDescription;
  readonly floor: H2dFloor & { readonly floorMs: number };
  readonly workerFixedMs: number;
  readonly ours: OurFigures;
  readonly wrong: Verification;
  readonly pythonTool: PythonToolFigures | undefined;
}

/** One rank on one GPU against the unmodified Python worker, beside the Python tool and the measured H2D rate. */
export async function updateScenario(options: UpdateScenarioOptions): Promise<boolean> {
  const engine = await EngineProcess.start(options.python);
  const device = await createCudaDevice({ index: 0 });
  try {
    const floor = await measureH2d(device);
    const small = await runUpdates(device, engine, { folder: options.smallDir, updates: 5, registers: 1 });
    const workerFixedMs = median(small.updateMs.slice(1));
    const ours = await runUpdates(device, engine, { ...options, folder: options.dir });
    const wrong = await engine.verify(options.dir);
    const pythonTool = options.peer
      ? await runPythonTool(options.python, options.dir, engine.port, options.updates)
      : undefined;
    const floorMs = ours.sizeBytes / floor.rateGBps / 1e6;
    const report: UpdateReport = {
      version: 1,
      scenario: 'update',
      machine: describeMachine(device),
      floor: { ...floor, floorMs },
      workerFixedMs,
      ours,
      wrong,
      pythonTool,
    };
    print(report);
    if (options.json !== undefined) {
      mkdirSync(dirname(options.json), { recursive: true });
      writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
    }
    return wrong.wrong === 0;
  } finally {
    await engine.stop();
    await device.close();
  }
}

function print({ floor, workerFixedMs, ours, wrong, pythonTool, machine }: UpdateReport): void {
  const update = median(ours.updateMs.slice(1));
  const last = ours.results.at(-1)!;
  const allowed = floor.floorMs * 1.05 + workerFixedMs;
  const rows: string[][] = [
    ['bytes', `${formatBytes(ours.sizeBytes)} in ${ours.tensorCount} tensors`, ''],
    ['H2D rate, pinned', `${floor.rateGBps.toFixed(1)} GB/s`, `floor ${floor.floorMs.toFixed(0)} ms`],
    ["worker's fixed time", `${workerFixedMs.toFixed(0)} ms`, 'update of one small tensor, median'],
    ['register', seconds(ours.registerMs), `pool ${formatBytes(ours.poolBytes)}`],
    ['gather metas', `${ours.gatherMs.toFixed(1)} ms`, ''],
    [
      'update',
      milliseconds(ours.updateMs),
      `median of the later ones ${update.toFixed(0)} ms; 1.05 x floor + fixed = ${allowed.toFixed(0)} ms`,
    ],
    [
      'phases of the last',
      Object.entries(last.durationsMs)
        .map(([name, ms]) => `${name} ${ms.toFixed(0)}`)
        .join(', '),
      'ms',
    ],
    ['device memory', formatBytes(last.deviceBytes), last.reason],
    ['#wrong', String(wrong.wrong), `of ${wrong.tensors} tensors`],
  ];
  if (pythonTool !== undefined) {
    rows.push(
      [
        'Python tool: register',
        pythonTool.register_s.map((s) => `${s.toFixed(2)} s`).join(', '),
        ratio(median(pythonTool.register_s) * 1e3, median(ours.registerMs)),
      ],
      [
        'Python tool: update',
        pythonTool.update_s.map((s) => `${(s * 1e3).toFixed(0)} ms`).join(', '),
        ratio(median(pythonTool.update_s) * 1e3, update),
      ],
      [
        'Python tool: group kept',
        pythonTool.update_kept_group_s.map((s) => `${(s * 1e3).toFixed(0)} ms`).join(', '),
        ratio(median(pythonTool.update_kept_group_s) * 1e3, update),
      ],
    );
  }
  process.stdout.write(`${machine.device}, driver ${machine.driver ?? '?'}, ${machine.runtime}\n`);
  printTable(['what', 'measured', 'beside'], rows);
}

const seconds = (values: readonly number[]): string => values.map((ms) => `${(ms / 1e3).toFixed(2)} s`).join(', ');
const milliseconds = (values: readonly number[]): string => values.map((ms) => `${ms.toFixed(0)} ms`).join(', ');
const ratio = (theirs: number, ours: number): string => `${(theirs / ours).toFixed(2)} x ours`;
