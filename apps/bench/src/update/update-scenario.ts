import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { traceEvents } from '@checkpoint-engine/cli';
import { type BenchCheckpoint, benchCheckpoint } from '../checkpoints/bench-checkpoint.ts';
import { deviceFloors } from '../floors/device-floors.ts';
import { glooBroadcast, linkFloors } from '../floors/link-floors.ts';
import { publish } from '../report/publish.ts';
import { median } from '../report/statistics.ts';
import type { Receiver } from '../world/receiver.ts';
import { startReceivers, stopReceivers, verify } from '../world/receivers.ts';
import { World } from '../world/world.ts';
import { measureVariant, type VariantFigures } from './measure-variant.ts';
import { runPythonTool } from './python-tool.ts';
import type { UpdateFigures, UpdateScenarioOptions } from './update-figures.ts';
import { updateResult } from './update-result.ts';

/**
 * Ranks in separate processes, each with a receiver, compared with the Python tool and the floors of the same machine.
 */
export async function updateScenario(options: UpdateScenarioOptions): Promise<void> {
  const checkpoint = await benchCheckpoint(options);
  const small = await benchCheckpoint({ dataDir: options.dataDir, model: 'one' });
  const floors = await deviceFloors(options.device, options.device === 'host' ? 1 : options.ranks);
  const links =
    options.linkFloors && options.device === 'cuda' ? await linkFloors(options.python, options.ranks) : undefined;
  const gloo =
    options.linkFloors && options.device === 'host' && options.ranks > 1
      ? await glooBroadcast(options.python, options.ranks, checkpoint.sizeBytes)
      : undefined;
  const receivers = await startReceivers(options);
  try {
    const ours = await measureOurs(options, receivers, checkpoint, small);
    const python = options.peer ? await measurePython(options, receivers, checkpoint) : undefined;
    if (options.trace !== undefined) writeTrace(options.trace, ours.variants.at(-1)!);
    publish(updateResult(options, { checkpoint, floors, links, gloo, ...ours, python }), options);
  } finally {
    await stopReceivers(receivers);
  }
}

/** Name of the checkpoint in the ranks. */
const NAME = 'weights';

async function measureOurs(
  options: UpdateScenarioOptions,
  receivers: readonly Receiver[],
  checkpoint: BenchCheckpoint,
  small: BenchCheckpoint,
): Promise<Pick<UpdateFigures, 'fixedMs' | 'registerMs' | 'poolBytes' | 'gatherMs' | 'variants'>> {
  const world = await World.start(
    options,
    receivers.map(({ engine }) => ({ engine })),
  );
  try {
    await world.register('small', small.files);
    await world.gather('small');
    const fixedMs: number[] = [];
    for (let round = 0; round < 6; round++) {
      fixedMs.push(Math.max(...(await world.update('small', {})).map(({ updateMs }) => updateMs)));
    }
    await world.unregister('small');
    const registerMs: number[] = [];
    let poolBytes = 0;
    for (let round = 0; round < options.registers; round++) {
      if (round > 0) await world.unregister(NAME);
      const registered = await world.register(NAME, checkpoint.files);
      registerMs.push(registered.durationMs);
      poolBytes = registered.poolBytes.reduce((sum, bytes) => sum + bytes, 0);
    }
    const gatherMs: number[] = [];
    for (let round = 0; round < 3; round++) gatherMs.push((await world.gather(NAME)).durationMs);
    const variants: VariantFigures[] = [];
    for (const variant of options.variants) {
      const figures = await measureVariant(world, receivers, { name: NAME, ...checkpoint }, variant, options);
      variants.push(figures);
      log(`${JSON.stringify(variant)}: ${median(figures.samplesMs).toFixed(0)} ms, ${figures.wrong} wrong`);
    }
    return { fixedMs: fixedMs.slice(1), registerMs, poolBytes, gatherMs, variants };
  } finally {
    await world.end();
  }
}

async function measurePython(
  options: UpdateScenarioOptions,
  receivers: readonly Receiver[],
  checkpoint: BenchCheckpoint,
): Promise<UpdateFigures['python']> {
  const enginePorts = receivers.flatMap(({ port }) => (port === undefined ? [] : [port]));
  if (enginePorts.length < receivers.length) throw new Error('The Python tool needs Python engines: --receiver python');
  const ranks = await runPythonTool({
    python: options.python,
    folder: checkpoint.folder,
    enginePorts,
    updates: options.updates,
    registers: options.registers,
    bucketGiB: options.peerBucketGiB,
  });
  return { ranks, ...(await verify(receivers, checkpoint)) };
}

function writeTrace(file: string, { last }: VariantFigures): void {
  const events = traceEvents(last.flatMap((rank) => rank.events));
  writeFileSync(file, JSON.stringify({ displayTimeUnit: 'ms', traceEvents: events }));
}

/** Prints the progress, because a run takes minutes. */
function log(text: string): void {
  process.stderr.write(`${text}\n`);
}
