import { env, stderr, stdin, stdout } from 'node:process';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import { readRankIdentity, readSecrets } from '../config/environment.ts';
import type { WorldJob } from '../config/jobs.ts';
import { createLogger } from '../output/log.ts';
import { exitAfter } from '../process/exit-after.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import type { FromRank } from '../process/messages.ts';
import { EventBatches } from './event-batches.ts';
import { followSupervisor, type RankRequest } from './follow-supervisor.ts';
import { LocalWorld } from './local-world.ts';

/** How long a rank may take to end in good order once nobody waits for it any more. */
const END_MS = 8_000;

/**
 * Runs this process as a rank of a world whose supervisor speaks on standard input and listens on standard output.
 *
 * @returns The exit status, when everything was given back.
 */
export async function serveRank(): Promise<0 | 1> {
  const controller = new AbortController();
  const send = (message: FromRank): void => void stdout.write(`${JSON.stringify(message)}\n`);
  const events = new EventBatches((batch) => send({ type: 'events', events: batch }));
  let world: LocalWorld | undefined;

  const open = (job: WorldJob): Promise<LocalWorld> => {
    const identity = readRankIdentity(env)!;
    const sink = { writeLine: (line: string) => void stderr.write(`${line}\n`) };
    return LocalWorld.open({
      identity,
      job,
      secrets: readSecrets(env),
      logger: createLogger(job.logLevel, sink, { rank: identity.rank }),
      signal: controller.signal,
      onEvent: (event) => events.add(event),
    });
  };
  const handle = async (request: RankRequest): Promise<void> => {
    if (request.type === 'open') {
      world = await open(request.world);
      send({ type: 'opened', device: world.devices[0]! });
    } else {
      const [report] = await world!.update(request.update);
      events.flush();
      send({ type: 'updated', report });
    }
  };

  const interrupts = watchInterrupts();
  interrupts.asked.addEventListener('abort', () => controller.abort(interrupts.asked.reason), { once: true });
  interrupts.insisted.addEventListener('abort', () => exitAfter(0), { once: true });
  try {
    await followSupervisor(stdin, { handle, abort: (error) => controller.abort(error) });
    return 0;
  } catch (error) {
    events.flush();
    send({ type: 'failed', error: toCheckpointEngineError(error).toJSON(), atMs: Date.now() });
    return 1;
  } finally {
    // From here on only the end is waited for.
    exitAfter(END_MS);
    await world?.close();
    interrupts.stop();
    stdin.destroy();
  }
}
