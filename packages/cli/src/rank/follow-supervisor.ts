import type { Readable } from 'node:stream';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseMessage, readLines } from '../process/json-lines.ts';
import type { ToRank } from '../process/messages.ts';

/** What {@link followSupervisor} calls. */
export interface SupervisorHandlers {
  /** Joins the world. Nothing else is handled before it has. */
  readonly open: (request: Extract<ToRank, { type: 'open' }>) => Promise<void>;
  /** Does what is asked for, and replies. Calls run at the same time. Never rejects. */
  readonly call: (request: Extract<ToRank, { type: 'call' }>) => Promise<void>;
  /** Says that this rank lives. Called at once. */
  readonly ping: () => void;
  /** Fails the call of this id, or everything. Called at once. */
  readonly abort: (error: CheckpointEngineError, id?: number) => void;
}

/**
 * Does what a supervisor writes to this rank's input. Resolves when it says that this was all.
 *
 * @throws What kept the rank from joining; `CE_ABORTED` when the input ends too early: the supervisor is gone.
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
    'Start the update again: the workers were told that this one failed',
  );
}
