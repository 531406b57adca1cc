import { statSync } from 'node:fs';
import process from 'node:process';
import { readCheckpoint } from '@checkpoint-engine/meta';
import { deviceFloors } from '../floors/device-floors.ts';
import { publish } from '../report/publish.ts';
import type { ResultRow } from '../report/result.ts';
import { memoryFigures } from './device-memory.ts';
import type { EngineScenarioOptions, Way } from './engine-options.ts';
import { engineResult } from './engine-result.ts';
import { Evidence } from './evidence.ts';
import { VllmEngine } from './vllm-engine.ts';
import { cliUpdate, type OwnUpdate, peerUpdates, ServedUpdates } from './ways.ts';

const TITLES: Readonly<Record<Way, string>> = {
  cli: 'update, command, files streamed',
  'cli-registered': 'update, command, files read before',
  serve: 'update, serve',
};

/** Measures updates of a real engine, as users run them, and updates of the same engine with the Python tool. */
export async function engineScenario(options: EngineScenarioOptions): Promise<void> {
  const { checkpoints, endpoint, python, ranks, engineArgs } = options;
  const [first] = checkpoints;
  const { tensors } = await readCheckpoint(first);
  const sizeBytes = tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  const engine =
    endpoint === undefined
      ? await VllmEngine.start({ python, model: configOf(first), ranks, args: engineArgs })
      : VllmEngine.at(endpoint);
  try {
    const evidence = await Evidence.of(engine, options.loaded ? 'one' : undefined);
    await engine.offerReceiver(options.throughReceiver);
    const rows: ResultRow[] = [];
    for (const way of options.ways) {
      for (const variant of options.variants) rows.push(await measureWay(way, variant, engine, evidence, options));
    }
    if (options.peer) {
      try {
        rows.push(...(await measurePeer(engine, evidence, options)));
      } catch (error) {
        // The measurements of our tool are kept.
        log(`The Python tool FAILED: ${String(error).slice(0, 1500)}`);
        process.exitCode = 1;
      }
    }
    const floors = await deviceFloors(options.device, ranks);
    const sized = rows.map((row) => ({ ...row, model: options.modelName, ranks, sizeBytes }));
    publish(engineResult(options, { rows: sized, floors, sizeBytes, tensorCount: tensors.length }), options);
  } finally {
    await engine.stop();
  }
}

/** The folder that has only the config, if `make_model.py` has written one; otherwise the folder of the checkpoint. */
function configOf(folder: string): string {
  const alone = `${folder.replace(/\/$/, '')}.config`;
  return statSync(alone, { throwIfNoEntry: false })?.isDirectory() ? alone : folder;
}

/** Runs one warm-up update, then alternating updates, and checks the engine after each of them. */
async function measureWay(
  way: Way,
  variant: string,
  engine: VllmEngine,
  evidence: Evidence,
  options: EngineScenarioOptions,
): Promise<ResultRow> {
  const { checkpoints, ranks, updates } = options;
  const args = [
    ...(options.device === 'host' ? ['--device', 'host'] : []),
    ...(variant === '' ? [] : variant.split(' ')),
  ];
  const [one, other] = checkpoints;
  const names: Record<string, string> = { one, other };
  // The first update of a checkpoint includes the preparation of the workers.
  await engine.watchMemory();
  const served = way === 'serve' ? await ServedUpdates.start(engine.url, names, ranks, args) : undefined;
  const run = (name: string): Promise<OwnUpdate> =>
    served?.update(name) ??
    cliUpdate(engine.url, names[name]!, ranks, [way === 'cli' ? '--stream' : '--no-stream', ...args]);
  const done: OwnUpdate[] = [];
  let wrong = 0;
  let memory: Record<string, number> = {};
  const measureMemory = async (when: string): Promise<void> => {
    const seen = await engine.seenMemory();
    memory = { ...memory, ...memoryFigures(when, seen) };
    log(`  memory, ${when} update: ${JSON.stringify(seen)}`);
  };
  try {
    for (let round = 0; round <= updates; round++) {
      const name = round % 2 === 0 ? 'one' : 'other';
      done.push(await run(name));
      if (round === 0) await measureMemory('first');
      wrong += await evidence.compare(name);
    }
    // Sampling memory takes time in the worker, so this update is not timed.
    await engine.watchMemory();
    await run('one');
    await measureMemory('later');
    wrong += await evidence.compare('one');
  } finally {
    await served?.stop();
  }
  const [warmup, ...counted] = done.map(({ durationsMs }) => durationsMs.update!);
  const { durationsMs, bucketCount, bucketBytes, deviceBytes } = done.at(-1)!;
  const { update: _, ...phasesMs } = durationsMs;
  const gathered = served?.gatherMs.map((ms) => ms.toFixed(0)).join(', ');
  if (gathered !== undefined) log(`${way} ${variant}: metas gathered and workers prepared in ${gathered} ms`);
  log(`${way} ${variant}: ${[warmup, ...counted].map((ms) => ms?.toFixed(0)).join(', ')} ms, ${wrong} wrong`);
  log(`  ${JSON.stringify(done.at(-1))}`);
  return {
    by: 'checkpoint-engine',
    what: TITLES[way],
    samplesMs: counted,
    warmupMs: [warmup!],
    phasesMs,
    deviceBytes,
    ...(bucketBytes !== undefined && { bucketBytes }),
    settings: { ...(variant !== '' && { args: variant }), ...(options.throughReceiver && { receiver: true }) },
    figures: {
      wallMs: done.at(-1)!.wallMs,
      ...(served !== undefined && { firstGatherMs: served.gatherMs[0]!, secondGatherMs: served.gatherMs[1]! }),
      ...memory,
      ...(bucketCount !== undefined && { bucketCount }),
    },
    checked: done.length + 1,
    wrong,
  };
}

async function measurePeer(
  engine: VllmEngine,
  evidence: Evidence,
  { checkpoints, python, ranks, updates, peerUpdates: inARow = updates }: EngineScenarioOptions,
): Promise<ResultRow[]> {
  const firstMs: number[] = [];
  const laterMs: number[] = [];
  let wrong = 0;
  let registerMs = 0;
  for (const [at, name] of (['other', 'one'] as const).entries()) {
    const folder = checkpoints[name === 'one' ? 0 : 1];
    const figures = await peerUpdates(python, engine.url, folder, ranks, at === 0 ? inARow : 1);
    const [first, ...later] = figures.update_s.map((seconds) => seconds * 1000);
    firstMs.push(first!);
    laterMs.push(...later);
    registerMs = figures.register_s * 1000;
    wrong += await evidence.compare(name);
    log(`Python tool: ${JSON.stringify(figures)}, ${wrong} wrong`);
  }
  const row = { by: 'Python tool, as shipped', checked: 2, wrong };
  return [
    { ...row, what: 'update, first of a process', samplesMs: firstMs, figures: { registerMs } },
    { ...row, what: 'update, later', samplesMs: laterMs, checked: 0, wrong: 0 },
  ];
}

/** Prints the progress, because a run takes minutes. */
function log(text: string): void {
  process.stderr.write(`${text}\n`);
}
