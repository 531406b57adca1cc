import { env, stdin } from 'node:process';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { readRankIdentity, readSecrets } from '../config/environment.ts';
import type { WorldSettings } from '../config/requests.ts';
import { createLogger } from '../output/log.ts';
import { writeLog, writeOutput } from '../output/standard-streams.ts';
import { exitAfter, exitNow } from '../process/exit-after.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import type { CallRequest, FromRank } from '../process/messages.ts';
import { EventBatches } from './event-batches.ts';
import { followSupervisor } from './follow-supervisor.ts';
import { LocalWorld } from './local-world.ts';

/** Time limit for a rank to shut down when nothing waits for it any more. */
const END_MS = 8_000;

/**
 * Runs this process as a rank. Its supervisor writes to standard input and reads standard output.
 *
 * @returns The exit status, after everything is released.
 */
export async function serveRank(): Promise<0 | 1> {
  const all = new AbortController();
  const calls = new Map<number, AbortController>();
  const send = (message: FromRank): void => writeOutput(`${JSON.stringify(message)}\n`);
  let world: LocalWorld | undefined;
  let onLost!: (error: unknown) => void;
  // The supervisor restarts the rank, which joins the world again.
  const lost = new Promise<never>((_, reject) => {
    onLost = reject;
  });
  lost.catch((error) => all.abort(error));

  const open = async (settings: WorldSettings): Promise<void> => {
    const identity = readRankIdentity(env)!;
    const sink = { writeLine: (line: string) => writeLog(`${line}\n`) };
    const logger = createLogger(settings.logLevel, sink, { rank: identity.rank });
    const secrets = readSecrets(env);
    world = await LocalWorld.open({ identity, settings, secrets, logger, signal: all.signal, onLost });
    send({ type: 'opened', device: world.devices[0]! });
    // A terminal's Ctrl-C and a service manager's SIGTERM reach ranks as well, but a server decides when its ranks
    // end.
    if (settings.lifetime === 'server') interrupts.asked.removeEventListener('abort', onAsked);
  };
  const call = async ({
    id,
    name,
    request,
  }: {
    id: number;
    name: Parameters<LocalWorld['call']>[0];
    request: unknown;
  }) => {
    const controller = new AbortController();
    calls.set(id, controller);
    const events = new EventBatches((batch) => send({ type: 'events', id, events: batch }));
    try {
      const [value] = await world!.call(name, request as CallRequest<typeof name>, {
        signal: AbortSignal.any([all.signal, controller.signal]),
        onEvent: (event) => {
          events.add(event);
          // If this rank is lost, its supervisor must know which engines received a request.
          if (event.type === 'engine') events.flush();
        },
      });
      events.flush();
      send({ type: 'result', id, value });
    } catch (error) {
      events.flush();
      send({ type: 'error', id, error: toCheckpointEngineError(error).toJSON(), atMs: Date.now() });
    } finally {
      calls.delete(id);
    }
  };

  const interrupts = watchInterrupts();
  const onAsked = (): void => all.abort(interrupts.asked.reason);
  interrupts.asked.addEventListener('abort', onAsked, { once: true });
  interrupts.insisted.addEventListener('abort', exitNow, { once: true });
  try {
    const followed = followSupervisor(stdin, {
      open: ({ world: settings }) => open(settings),
      call,
      ping: () => send({ type: 'pong' }),
      abort: (error, id) => (id === undefined ? all : calls.get(id))?.abort(error),
    });
    await Promise.race([followed, lost]);
    return 0;
  } catch (error) {
    send({ type: 'failed', error: toCheckpointEngineError(error).toJSON(), atMs: Date.now() });
    return 1;
  } finally {
    // From here on, the rank only waits for the end.
    exitAfter(END_MS);
    await world?.close();
    interrupts.stop();
    stdin.destroy();
  }
}
