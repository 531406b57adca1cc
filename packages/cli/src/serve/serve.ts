import { once } from 'node:events';
import { createHttpApi, type HttpApi } from '@checkpoint-engine/http';
import { getRequestListener } from '@hono/node-server';
import type { CommandContext } from '../command-context.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import { createLogger, LogSink } from '../output/log.ts';
import { rankLogLine } from '../output/rank-log-line.ts';
import { HANGUP_IGNORED, watchInterrupts } from '../process/interrupts.ts';
import { ownVersion } from '../process/own-version.ts';
import { sweepLeftovers } from '../rank/sweep-leftovers.ts';
import { drain } from './drain.ts';
import { type Listening, listen, stopListening } from './listen.ts';
import { listenAtRanks } from './listen-at-ranks.ts';
import { serveNode } from './nodes/serve-node.ts';
import { type OpenedWorld, openServedWorld } from './open-served-world.ts';
import { processMetrics } from './process-metrics.ts';
import { openReportFolder } from './report-folder.ts';

/**
 * Runs `serve` until it receives a signal.
 *
 * @returns The exit status.
 * @throws The failure, after everything is released.
 */
export async function serve(
  config: ServeConfig,
  { terminal, env }: Pick<CommandContext, 'terminal' | 'env'>,
): Promise<0> {
  const sink = new LogSink(terminal, config.log.logFormat);
  const logger = createLogger(config.log.logLevel, sink);
  const interrupts = watchInterrupts({ onHangupIgnored: () => logger.warn({}, HANGUP_IGNORED) });
  let opened: OpenedWorld | undefined;
  let api: HttpApi | undefined;
  let listening: Listening | undefined;
  let rankSockets: readonly Listening[] = [];
  const kill = (): void => opened?.world.kill();
  interrupts.insisted.addEventListener('abort', kill);
  try {
    await sweepLeftovers(logger);
    if (config.nodes && config.nodes.node > 0) {
      const { nprocPerNode, p2pHost } = config;
      await serveNode({ ...config.nodes, nprocPerNode, p2pHost, env, logger, interrupts });
      return 0;
    }
    const onLogLine = (line: string, rank: number): void => sink.writeLine(rankLogLine(line, rank));
    opened = await openServedWorld(config, { env, logger, onLogLine });
    const { world } = opened;
    const { token, address, allowedRoots, graceMs, reports } = config;
    const isOutOfBrowsersReach = 'path' in address;
    const observer = reports && (await openReportFolder({ ...reports, world, logger }));
    api = createHttpApi(world, {
      token,
      isOutOfBrowsersReach,
      logger,
      registry: processMetrics(),
      version: ownVersion(),
      observer,
    });
    // Clients of HTTP/1.0 may omit the Host header.
    const { fetch } = api;
    const answer = getRequestListener(fetch, { hostname: 'localhost' });
    // Claim the address first: without it, no ranks start.
    listening = await listen((request, response) => void answer(request, response), address);
    rankSockets = await listenAtRanks(api, config.rankSockets ?? []);
    logger.info(
      { address: listening.address, worldSize: world.worldSize, requiresToken: token !== undefined },
      'Listening',
    );
    if (allowedRoots?.length === 0) {
      logger.warn({}, 'No files can be registered: with a token, --allow-path must list the folders of checkpoints');
    }
    await world.start(interrupts.asked);
    logger.info({ address: listening.address }, 'Serving');
    if (!interrupts.asked.aborted) await once(interrupts.asked, 'abort');
    await drain(api, { graceMs, interrupts, logger });
    return 0;
  } catch (error) {
    // A signal during the start ends it, which is a success.
    if (error === interrupts.asked.reason) {
      logger.info({ signal: interrupts.askedBy }, 'Shutting down before the ranks have started');
      return 0;
    }
    throw error;
  } finally {
    if (interrupts.insisted.aborted) kill();
    api?.close();
    if (listening) await stopListening(listening);
    await Promise.all(rankSockets.map(stopListening));
    await opened?.close();
    await sweepLeftovers(logger);
    interrupts.insisted.removeEventListener('abort', kill);
    interrupts.stop();
  }
}
