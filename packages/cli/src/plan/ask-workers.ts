import { basename, resolve } from 'node:path';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { SizedEngineTargets } from '../config/engine-targets.ts';
import { type Environment, readMemoryLimits } from '../config/environment.ts';
import type { DeviceKind } from '../config/requests.ts';
import { createLogger, LogSink } from '../output/log.ts';
import { checkOutputFile, type OutputFile } from '../output/output-file.ts';
import type { Terminal } from '../output/terminal.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import type { CallOptions } from '../process/world.ts';
import { engineName } from '../rank/engine-client.ts';
import { sweepLeftovers } from '../rank/sweep-leftovers.ts';
import { openWorld } from '../update/open-world.ts';
import { writeNeedsFile } from './needs-file.ts';
import type { NeedsPlan } from './plan-needs.ts';

/** Input of {@link askWorkers}. */
export interface WorkersQuestion {
  readonly path: string;
  readonly worldSize: number;
  readonly deviceKind: DeviceKind;
  readonly targets: SizedEngineTargets;
  readonly timeoutMs: number;
  /** File for what the workers keep, in the format of `plan --needs`. @default none */
  readonly saveNeeds?: OutputFile | undefined;
}

/**
 * Asks the workers of running engines which parts of a checkpoint they keep, as a preparation for its updates does: the
 * ranks run on this machine, read the headers of the files, and send no weights.
 *
 * @throws `CE_NOT_SUPPORTED` The engine's workers cannot report this before an update; also the errors of registration and
 *   preparation.
 */
export async function askWorkers(
  { path, worldSize, deviceKind, targets, timeoutMs, saveNeeds }: WorkersQuestion,
  { terminal, env }: { readonly terminal: Terminal; readonly env: Environment },
): Promise<NeedsPlan> {
  if (saveNeeds !== undefined) await checkOutputFile(saveNeeds);
  const log = { logLevel: 'warn', logFormat: 'pretty' } as const;
  const sink = new LogSink(terminal, log.logFormat);
  const logger = createLogger(log.logLevel, sink);
  const interrupts = watchInterrupts();
  const name = basename(resolve(path));
  const update = { targets, timeoutMs };
  const register = { name, files: path, keepFiles: true, stream: true };
  const limits = readMemoryLimits(env);
  const delivery = { source: { register }, updates: [update] };
  const config = { worldSize, limits, delivery, log };
  const onLogLine = (line: string): void => sink.writeLine(line);
  const world = await openWorld({ config, deviceKind, env, logger, interrupts, onLogLine });
  const following = { signal: interrupts.asked };
  try {
    await world.call('engineReady', update, following);
    const [can] = await world.call('canPrepare', update, following);
    if (can !== true) throw cannotAsk(targets);
    await world.call('register', register, following);
    await world.call('gatherMetas', { name, timeoutMs }, following);
    const pulled = new Map<number, number>();
    const onEvent: CallOptions['onEvent'] = (event) => {
      if (event.type === 'plan') pulled.set(event.rank, event.stageBytes.pull);
    };
    const request = { ...update, name, reportsKept: saveNeeds !== undefined };
    const prepared = await world.call('prepare', request, { ...following, onEvent });
    const results = prepared.filter((result) => result !== null);
    if (saveNeeds !== undefined)
      await writeNeedsFile(
        saveNeeds,
        results.map(({ kept = {} }) => kept),
      );
    const checkpointBytes = results[0]!.totalBytes;
    const ranks = results.map(({ neededBytes, modules }, rank) => ({
      ...{ rank, host: 0, neededBytes, pooledBytes: pulled.get(rank) ?? 0, readBytes: 0 },
      ...{ savedBytes: checkpointBytes - neededBytes, modules },
    }));
    const host = { host: 0, ranks: ranks.map(({ rank }) => rank), heldBytes: checkpointBytes };
    return {
      source: `the workers of ${targets.engine} at ${engineName(targets, 0)}`,
      ...{ checkpointBytes, ranks, hosts: [{ ...host, readBytes: 0, broadcastBytes: 0 }] },
    };
  } finally {
    await world.close();
    await sweepLeftovers(logger);
    interrupts.stop();
  }
}

function cannotAsk(targets: SizedEngineTargets): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The workers of ${targets.engine} at ${engineName(targets, 0)} cannot report what they keep before an update`,
    'Run checkpoint-engine doctor --engine for the reason, or describe the layout with --tp, --ep and --pp',
  );
}
