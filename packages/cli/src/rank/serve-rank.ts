import { env, stderr, stdin, stdout } from 'node:process';
import { CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { readRankIdentity, readSecrets } from '../config/environment.ts';
import type { WorldJob } from '../config/jobs.ts';
import { createLogger } from '../output/log.ts';
import { exitAfter } from '../process/exit-after.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import { parseMessage, readLines } from '../process/json-lines.ts';
import type { FromRank, ToRank } from '../process/messages.ts';
import { EventBatches } from './event-batches.ts';
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
  let isClosed = false;

  const open = (job: WorldJob): Promise<LocalWorld> => {
    const identity = readRankIdentity(env)!;
    return LocalWorld.open({
      identity,
      job,
      secrets: readSecrets(env),
      logger: createLogger(
        job.logLevel,
        { writeLine: (line) => void stderr.write(`${line}\n`) },
        { rank: identity.rank },
      ),
      signal: controller.signal,
      onEvent: (event) => events.add(event),
    });
  };
  const handle = async (message: ToRank): Promise<void> => {
    if (message.type === 'open') {
      world = await open(message.world);
      send({ type: 'opened', device: world.devices[0]! });
    } else if (message.type === 'update') {
      const [report] = await world!.update(message.update);
      events.flush();
      send({ type: 'updated', report });
    }
  };

  const interrupts = watchInterrupts();
  const onAsked = (): void => controller.abort(interrupts.asked.reason);
  interrupts.asked.addEventListener('abort', onAsked, { once: true });
  interrupts.insisted.addEventListener('abort', () => exitAfter(0), { once: true });

  // Requests are handled one after the other, but an abort at once.
  let work: Promise<void> = Promise.resolve();
  const failed = new Promise<unknown>((resolve) => {
    const ended = readLines(stdin, (line) => {
      const message = parseMessage(line) as ToRank | undefined;
      if (message?.type === 'abort') controller.abort(CheckpointEngineError.fromJSON(message.error));
      else if (message?.type === 'close') isClosed = true;
      else if (message) work = work.then(() => handle(message));
      work.catch(resolve);
    });
    ended
      .then(() => {
        if (!isClosed) controller.abort(orphanedError());
        return work;
      })
      .then(() => resolve(isClosed ? undefined : orphanedError()))
      .catch(resolve);
  });

  const error = await failed;
  // From here on only the end is waited for.
  exitAfter(END_MS);
  if (error !== undefined) {
    events.flush();
    send({ type: 'failed', error: toCheckpointEngineError(error).toJSON(), atMs: Date.now() });
  }
  await world?.close();
  interrupts.stop();
  stdin.destroy();
  return error === undefined ? 0 : 1;
}

function orphanedError(): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ABORTED',
    'The process that started this rank is gone',
    'Start the update again; the workers were told that this one failed',
  );
}
