import { setTimeout as sleep } from 'node:timers/promises';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import type { CommandContext } from '../command-context.ts';
import type { DeliveryRequest } from '../config/requests.ts';
import type { UpdateConfig } from '../config/update-config.ts';
import { updateWarnings } from '../config/update-warnings.ts';
import { checkOutputFiles } from '../output/check-output-files.ts';
import { jsonText } from '../output/json-text.ts';
import { createLogger, LogSink } from '../output/log.ts';
import type { OutputFile } from '../output/output-file.ts';
import { rankLogLine } from '../output/rank-log-line.ts';
import { HANGUP_IGNORED, watchInterrupts } from '../process/interrupts.ts';
import type { World } from '../process/world.ts';
import { openProgress } from '../progress/open-progress.ts';
import { noProgress, type ProgressView } from '../progress/progress-view.ts';
import { resolveDeviceKind } from '../rank/open-device.ts';
import { sweepLeftovers } from '../rank/sweep-leftovers.ts';
import { type InstanceVersion, InstanceVersions } from '../report/instance-versions.ts';
import { loadReport } from '../report/load-report.ts';
import type { EndedUpdate } from '../report/reported-update.ts';
import { writeReport } from '../report/write-report.ts';
import { writeTrace } from '../trace/write-trace.ts';
import { deliver } from './deliver.ts';
import { noteInstances } from './failed-update.ts';
import { openWorld } from './open-world.ts';
import { outcomeText } from './outcome-text.ts';
import type { RankReport } from './rank-report.ts';
import { readMetas } from './read-metas.ts';
import { type UpdateOutcome, updateOutcome } from './update-outcome.ts';

/**
 * Runs `update` or `join`.
 *
 * @returns The exit status: 0 even if one of the output files of a successful update could not be written.
 * @throws The failure, after everything is released.
 */
export async function update(
  config: UpdateConfig,
  { terminal, env }: Pick<CommandContext, 'terminal' | 'env'>,
): Promise<0> {
  const { command, identity, worldSize, delivery, json, log } = config;
  const sink = new LogSink(terminal, log.logFormat);
  const logger = createLogger(log.logLevel, sink, identity ? { rank: identity.rank } : {});
  const interrupts = watchInterrupts({ onHangupIgnored: () => logger.info({}, HANGUP_IGNORED) });
  const events: ProgressEvent[] = [];
  const instances = new InstanceVersions();
  let progress: ProgressView = noProgress;
  let world: World | undefined;
  try {
    if (identity && config.launcher !== undefined) {
      const { rank, masterAddr, masterPort } = identity;
      const { launcher } = config;
      logger.info({ rank, worldSize, masterAddr, masterPort }, `${launcher} started this process as a rank`);
    }
    await checkOutputFiles(outputFiles(config), inputFiles(delivery.source));
    if (config.reportFile) await loadReport('--report');
    const source = 'load' in delivery.source ? { load: await readMetas(delivery.source.load) } : delivery.source;
    const deviceKind = await resolveDeviceKind(config.device, identity ? 1 : worldSize);
    const title = `Updating ${config.title} on ${worldSize === 1 ? '1 rank' : `${worldSize} ranks`}`;
    progress = await openProgress({
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
          instances.note(event);
          if (event.type === 'engine') return;
          progress.onEvent(event);
          if (config.traceFile || config.reportFile) events.push(event);
        },
      },
    );
    progress.close();
    const unwrittenTrace = config.traceFile && (await writeTrace(config.traceFile, events));
    const { devices } = world;
    const unwrittenReport =
      config.reportFile &&
      (await writeReport(
        config.reportFile,
        endedUpdate(config, world, events, instances.all, delivered.reports.at(-1)),
      ));
    const unwritten = [unwrittenTrace, unwrittenReport, delivered.unwrittenMetas].filter(
      (text) => typeof text === 'string',
    );
    const warnings = [...updateWarnings(config), ...unwritten];
    const last = delivered.reports.length - 1;
    const outcomes = delivered.reports.map((reports, index) => {
      const removedFiles = index === last ? delivered.removedFiles : [];
      return updateOutcome(worldSize, devices, reports, { warnings, removedFiles, instances: instances.all });
    });
    // In a world that a launcher started, one rank prints the result.
    if (identity && identity.rank > 0) {
      for (const text of [unwrittenTrace, unwrittenReport]) if (text) logger.warn({}, text);
    } else {
      const traceFile = unwrittenTrace ? undefined : config.traceFile;
      const reportFile = unwrittenReport ? undefined : config.reportFile;
      const metasFile = delivered.unwrittenMetas === undefined ? delivery.metasFile : undefined;
      terminal.print(
        json
          ? jsonText({ ok: true, command, ...outcomes.at(-1)!, ...before(outcomes), traceFile, reportFile, metasFile })
          : outcomes.map((outcome) => outcomeText(outcome, terminal.out.colors, terminal.out.columns)).join('\n'),
      );
    }
    // An interruption ends the wait and is not a failure any more.
    if (config.sleepMs > 0) await sleep(config.sleepMs, undefined, { signal: interrupts.asked }).catch(() => {});
    return 0;
  } catch (error) {
    progress.close();
    instances.forgetAll();
    noteInstances(error, instances.all);
    const unwritten = config.traceFile && events.length > 0 && (await writeTrace(config.traceFile, events));
    if (unwritten) logger.warn({}, unwritten);
    if (config.reportFile && world && events.length > 0) {
      const failed = { ...endedUpdate(config, world, events, instances.all), ...failure(error, interrupts.asked) };
      const unwrittenReport = await writeReport(config.reportFile, failed);
      if (unwrittenReport) logger.warn({}, unwrittenReport);
    }
    await world?.close();
    await sweepLeftovers(logger);
    throw error;
  } finally {
    progress.close();
    await world?.close();
    interrupts.stop();
  }
}

function endedUpdate(
  { title, worldSize, delivery }: UpdateConfig,
  { ranks, devices }: World,
  events: readonly ProgressEvent[],
  instances: readonly InstanceVersion[],
  reports: readonly RankReport[] = [],
): EndedUpdate {
  return {
    title: `${title} into ${worldSize === 1 ? '1 rank' : `${worldSize} ranks`}`,
    outcome: 'succeeded',
    events,
    devices: new Map(ranks.map((rank, index) => [rank, devices[index]])),
    poolBytes: new Map(reports.map(({ rank, registered }) => [rank, registered?.poolBytes ?? 0])),
    warnings: [...new Set(reports.flatMap(({ registered }) => registered?.warnings ?? []))],
    weightVersion: reports[0]?.update.weightVersion ?? delivery.updates[0]?.weightVersion,
    instances,
  };
}

function failure(error: unknown, asked: AbortSignal): Pick<EndedUpdate, 'outcome' | 'error'> {
  return { outcome: asked.aborted ? 'cancelled' : 'failed', error: toCheckpointEngineError(error) };
}

/** Writes the output files after the work. The first rank writes the metas of all. */
function outputFiles({ identity, traceFile, reportFile, delivery: { metasFile } }: UpdateConfig): OutputFile[] {
  const files: OutputFile[] = [];
  if (traceFile !== undefined) files.push({ path: traceFile, flag: '--trace' });
  if (reportFile !== undefined) files.push({ path: reportFile, flag: '--report' });
  if (metasFile !== undefined && (identity?.rank ?? 0) === 0)
    files.push({ path: metasFile, flag: '--save-metas-file' });
  return files;
}

function inputFiles(source: DeliveryRequest['source']): readonly string[] {
  return 'load' in source ? source.load.files : [source.register.files].flat();
}

/** The last update determines the result. Earlier ones are listed with it. */
function before(outcomes: readonly UpdateOutcome[]): { readonly before?: readonly UpdateOutcome[] } {
  return outcomes.length === 1 ? {} : { before: outcomes.slice(0, -1) };
}
