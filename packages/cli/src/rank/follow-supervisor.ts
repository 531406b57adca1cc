import type { Readable } from 'node:stream';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseMessage, readLines } from '../process/json-lines.ts';
import type { ToRank } from '../process/messages.ts';

/** The callbacks of {@link followSupervisor}. */
export interface SupervisorHandlers {
  /** Joins the world. All other messages wait for it. */
  readonly open: (request: Extract<ToRank, { type: 'open' }>) => Promise<void>;
  /** Makes a call and replies. Calls run at the same time. Never rejects. */
  readonly call: (request: Extract<ToRank, { type: 'call' }>) => Promise<void>;
  /** Answers that this rank is alive. Called at once. */
  readonly ping: () => void;
  /** Aborts the call with this id, or all calls. Called at once. */
  readonly abort: (error: CheckpointEngineError, id?: number) => void;
}

/**
 * Handles the messages of a supervisor on this rank's standard input. Resolves after `close`.
 *
 * @throws The failure to join; `CE_ABORTED` when the input ends too early, because the supervisor is gone.
 */
export async function followSupervisor(
  input: Readable,
  { open, call, ping, abort }: SupervisorHandlers,
): Promise<void> {
  let isClosed = false;
  let opened: Promise<void> = Promise.resolve();
  let fail!: (error: unknown) => void;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const running = new Set<Promise<void>>();
  const ended = readLines(input, (line) => {
    const message = parseMessage(line) as ToRank | undefined;
    if (message?.type === 'abort') {
      abort(CheckpointEngineError.fromJSON(message.error), message.id);
    } else if (message?.type === 'ping') {
      ping();
    } else if (message?.type === 'close') {
      isClosed = true;
    } else if (message?.type === 'open') {
      opened = open(message);
      opened.catch(fail);
    } else if (message) {
      const work = opened.then(() => call(message)).catch(fail);
      running.add(work);
      void work.finally(() => running.delete(work));
    }
  });
  await Promise.race([ended, failed]);
  if (!isClosed) abort(orphanedError());
  await opened;
  await Promise.all(running);
  if (!isClosed) throw orphanedError();
}

function orphanedError(): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ABORTED',
    'The process that started this rank is gone',
    'Start the update again: the workers have been notified of the failure',
  );
}
