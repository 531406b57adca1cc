import { once } from 'node:events';
import { unlinkSync } from 'node:fs';
import { CheckpointEngineError, type Logger } from '@checkpoint-engine/interface';
import { createHttpApi, type HttpApi } from '@checkpoint-engine/ps/http';
import { getRequestListener } from '@hono/node-server';
import type { CommandContext } from '../commands/command-context.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import { createLogger, LogSink } from '../output/log.ts';
import { rankLogLine } from '../output/rank-log-line.ts';
import { type Interrupts, watchInterrupts } from '../process/interrupts.ts';
import { within } from '../process/within.ts';
import { sweepLeftovers } from '../rank/sweep-leftovers.ts';
import { type Listening, listen } from './listen.ts';
import { openServedWorld } from './open-served-world.ts';
import type { ServedWorld } from './served-world.ts';

/**
 * Runs `serve` until it is asked to end.
 *
 * @returns The exit status.
 * @throws What kept it from running, when everything was given back.
 */
export async function serve(
  config: ServeConfig,
  { terminal, env }: Pick<CommandContext, 'terminal' | 'env'>,
): Promise<0> {
  const sink = new LogSink(terminal, config.log.logFormat);
  const logger = createLogger(config.log.logLevel, sink);
  const interrupts = watchInterrupts();
  let world: Awaited<ReturnType<typeof openServedWorld>> | undefined;
  let listening: Listening | undefined;
  try {
    await sweepLeftovers(logger);
    // The address is taken first: who cannot have it has started nothing.
    const api: { current?: HttpApi } = {};
    const answer = getRequestListener((request) => api.current?.fetch(request) ?? new Response(null, { status: 503 }));
    listening = await listen((request, response) => void answer(request, response), config.address);
    world = await openServedWorld(config, {
      env,
      logger,
      signal: interrupts.asked,
      onLogLine: (line, rank) => sink.writeLine(rankLogLine(line, rank)),
    });
    api.current = createHttpApi(world.world, {
      token: config.token,
      isOutOfBrowsersReach: 'path' in config.address,
      logger,
    });
    sayWhere(config, listening, logger);
    await untilAsked(interrupts);
    await drain(api.current, world.world, { graceMs: config.graceMs, interrupts, logger });
    api.current.close();
    return 0;
  } finally {
    interrupts.insisted.addEventListener('abort', () => world?.world.kill(), { once: true });
    if (interrupts.insisted.aborted) world?.world.kill();
    if (listening) await stopListening(listening);
    await world?.close();
    await sweepLeftovers(logger);
    interrupts.stop();
  }
}

function sayWhere({ worldSize, token, allowedRoots }: ServeConfig, { address }: Listening, logger: Logger): void {
  logger.info({ address, worldSize, asksForToken: token !== undefined }, 'Serving');
  if (allowedRoots?.length === 0) {
    logger.warn({}, 'No files can be registered: with a token, --allow-path has to name the folders of checkpoints');
  }
}

async function untilAsked({ asked }: Interrupts): Promise<void> {
  if (!asked.aborted) await once(asked, 'abort');
}

/** Lets the update that runs end, for a while; then, or when somebody insists, it is cancelled and workers are told. */
async function drain(
  api: HttpApi,
  world: ServedWorld,
  { graceMs, interrupts, logger }: { graceMs: number; interrupts: Interrupts; logger: Logger },
): Promise<void> {
  const drained = api.drain();
  const insisted = interrupts.insisted.aborted ? Promise.resolve() : once(interrupts.insisted, 'abort');
  logger.info({ graceMs }, 'Ending: no update begins any more');
  await Promise.race([within(drained, graceMs), insisted]);
  if (interrupts.insisted.aborted) {
    world.kill();
    return;
  }
  await api.cancelRunning(
    new CheckpointEngineError(
      'CE_ABORTED',
      `The server was asked to end, and the update did not end within ${graceMs} ms`,
      'Run the update again when the server is back',
    ),
  );
  await drained;
}

async function stopListening({ server, address }: Listening): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  if (!(await within(closed, 1_000))) server.closeAllConnections();
  await closed;
  if (!address.startsWith('http://')) {
    try {
      unlinkSync(address);
    } catch {
      // The runtime removes it by itself.
    }
  }
}
