import { setTimeout as sleep } from 'node:timers/promises';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import type { CommandContext } from '../commands/command-context.ts';
import type { UpdateConfig } from '../config/update-config.ts';
import { createLogger, LogSink } from '../output/log.ts';
import { rankLogLine } from '../output/rank-log-line.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import type { World } from '../process/world.ts';
import { openProgress } from '../progress/open-progress.ts';
import { noProgress, type ProgressView } from '../progress/progress-view.ts';
import { resolveDeviceKind } from '../rank/open-device.ts';
import { sweepLeftovers } from '../rank/sweep-leftovers.ts';
import { writeTrace } from '../trace/write-trace.ts';
import { deliver } from './deliver.ts';
import { openWorld } from './open-world.ts';
import { outcomeText } from './outcome-text.ts';
import { readMetas } from './read-metas.ts';
import { type UpdateOutcome, updateOutcome } from './update-outcome.ts';

/**
 * Runs `update` or `join`.
 *
 * @returns The exit status.
 * @throws What kept it from running, when everything was given back.
 */
export async function update(
  config: UpdateConfig,
  { terminal, env }: Pick<CommandContext, 'terminal' | 'env'>,
): Promise<0> {
  const { command, identity, worldSize, delivery, json, log } = config;
  const sink = new LogSink(terminal, log.logFormat);
  const logger = createLogger(log.logLevel, sink, identity ? { rank: identity.rank } : {});
  const interrupts = watchInterrupts();
  const events: ProgressEvent[] = [];
  let progress: ProgressView = noProgress;
  let world: World | undefined;
  try {
    const source = 'load' in delivery.source ? { load: await readMetas(delivery.source.load) } : delivery.source;
    const deviceKind = await resolveDeviceKind(config.device, identity ? 1 : worldSize);
    const title = `Updating ${config.title} on ${worldSize === 1 ? '1 rank' : `${worldSize} ranks`}`;
    progress = openProgress({
      title,
      rankCount: identity ? 1 : worldSize,
      live: !json && log.logFormat === 'pretty',
      terminal,
      sink,
      logger,
    });
    world = await openWorld({
      config,
      deviceKind,
      env,
      logger,
      interrupts,
      onLogLine: (line, rank) => sink.writeLine(rankLogLine(line, rank)),
    });
    const delivered = await deliver(
      world,
      { ...delivery, source },
      {
        signal: interrupts.asked,
        onEvent: (event) => {
          if (event.type === 'engine') return;
          progress.onEvent(event);
          if (config.traceFile) events.push(event);
        },
      },
    );
    progress.close();
    if (config.traceFile) await writeTrace(config.traceFile, events);
    const { devices } = world;
    const outcomes = delivered.map((reports) => updateOutcome(worldSize, devices, reports));
    // In a world that a launcher started one rank speaks for all.
    if (!identity || identity.rank === 0) {
      const { traceFile } = config;
      const { metasFile } = delivery;
      terminal.print(
        json
          ? JSON.stringify({ ok: true, command, ...outcomes.at(-1)!, ...before(outcomes), traceFile, metasFile })
          : outcomes.map((outcome) => outcomeText(outcome, terminal.out.colors)).join('\n'),
      );
    }
    // An interruption ends the wait, and is no failure any more.
    if (config.sleepMs > 0) await sleep(config.sleepMs, undefined, { signal: interrupts.asked }).catch(() => {});
    return 0;
  } catch (error) {
    progress.close();
    if (config.traceFile && events.length > 0) await writeTrace(config.traceFile, events);
    await world?.close();
    await sweepLeftovers(logger);
    throw error;
  } finally {
    progress.close();
    await world?.close();
    interrupts.stop();
  }
}

/** The last update is what counts; those before it stand beside it. */
function before(outcomes: readonly UpdateOutcome[]): { readonly before?: readonly UpdateOutcome[] } {
  return outcomes.length === 1 ? {} : { before: outcomes.slice(0, -1) };
}
